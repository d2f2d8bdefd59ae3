/* estran footprint --federated: where to learn, in joules and grams. */
#include "base/document.h"
#include "cli/footprint.h"

#include <math.h>

typedef struct key {
    const char *name;
    size_t offset;
    bool whole;
} key;

#define ROW(name_, field)                                                                          \
    {                                                                                              \
        name_, offsetof(es_learning, field), false                                                 \
    }
#define WHOLE(name_, field)                                                                        \
    {                                                                                              \
        name_, offsetof(es_learning, field), true                                                  \
    }
static const key keys[] = {
    ROW("server_round_j", server_j),
    ROW("device_round_j", device_j),
    ROW("pue", pue),
    WHOLE("devices", devices),
    WHOLE("active", active),
    WHOLE("neighbours", neighbours),
    ROW("rounds_central", rounds_central),
    ROW("rounds_federated", rounds_federated),
    ROW("rounds_consensus", rounds_consensus),
    ROW("aggregation", aggregation),
    ROW("model_bits", model_bits),
    ROW("data_bits", data_bits),
    ROW("uploads", uploads),
    ROW("uplink_bit_per_j", uplink_bit_j),
    ROW("downlink_bit_per_j", downlink_bit_j),
    ROW("sidelink_bit_per_j", sidelink_bit_j),
    ROW("sleep_round_j", sleep_j),
    ROW("server_gco2e_per_kwh", server_g_kwh),
    ROW("device_gco2e_per_kwh", device_g_kwh),
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

static es_status read_file(es_cli *cli, const char *path, es_learning *learning, es_error *err)
{
    const es_doc *root = NULL;
    const char *names[KEY_COUNT + 2] = {"format", "version"};
    for (size_t i = 0; i < KEY_COUNT; i++)
        names[i + 2] = keys[i].name;
    ES_TRY(es_doc_read(cli->arena, path, 1 << 20, &root, err));
    ES_TRY(es_doc_expect_keys(root, names, KEY_COUNT + 2, err));
    ES_TRY(es_doc_expect_format(root, "estran-learning", 1, err));
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char *place = (char *)learning + keys[i].offset;
        double number = 0;
        int64_t count = 0;
        if (keys[i].whole) {
            count = *(uint32_t *)(void *)place;
            ES_TRY(es_doc_get_int(root, keys[i].name, 0, UINT32_MAX, &count, err));
            *(uint32_t *)(void *)place = (uint32_t)count;
        } else {
            number = *(double *)(void *)place;
            ES_TRY(es_doc_get_number(root, keys[i].name, 0, 1e30, &number, err));
            *(double *)(void *)place = number;
        }
    }
    return es_within(err, es_learning_check(learning, err), "%s", path);
}

typedef struct scheme {
    const char *name;
    es_learning_cost cost;
    double break_even;
    bool below;
} scheme;
enum { SCHEMES = 3 };

static void put_json(const es_learning *l, const scheme *schemes, es_text *text)
{
    es_json json;
    es_json_init(&json, text, false);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-learning-footprint");
    es_json_put_int(&json, "version", 1);
    es_json_put_number(&json, "traffic_ratio", es_learning_traffic_ratio(l));
    es_json_key(&json, "schemes");
    es_json_list_begin(&json);
    for (int i = 0; i < SCHEMES; i++) {
        es_json_map_begin(&json);
        es_json_put_text(&json, "name", schemes[i].name);
        es_json_put_number(&json, "compute_j", schemes[i].cost.compute_j);
        es_json_put_number(&json, "network_j", schemes[i].cost.network_j);
        es_json_put_number(&json, "total_j", schemes[i].cost.total_j);
        es_json_put_number(&json, "carbon_gco2e", schemes[i].cost.carbon_g);
        if (i > 0) {
            es_json_put_number(&json, "break_even_uplink_bit_per_j", schemes[i].break_even);
            es_json_put_text(&json, "cheaper",
                             isinf(schemes[i].break_even)   ? "always"
                             : !(schemes[i].break_even > 0) ? "never"
                             : schemes[i].below             ? "below"
                                                            : "above");
        }
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    es_json_map_end(&json);
}

static void put_break_even(const es_learning *l, const scheme *one, es_text *text)
{
    if (isinf(one->break_even))
        es_text_format(text, "%s takes less energy than centralised at any efficiency of links\n",
                       one->name);
    else if (!(one->break_even > 0))
        es_text_format(text, "%s never takes less energy than centralised\n", one->name);
    else
        es_text_format(text,
                       "%s takes less energy than centralised when uplinks move %s than %.4g kbit "
                       "per joule (now %.4g; other links in proportion)\n",
                       one->name, one->below ? "less" : "more", one->break_even / 1e3,
                       l->uplink_bit_j / 1e3);
}

static void put_text(es_cli *cli, const es_learning *l, const scheme *schemes, es_text *text)
{
    es_cli_table table = {.arena = cli->arena, .columns = 5};
    es_cli_cell(&table, "learning");
    es_cli_cell(&table, "computing, kJ");
    es_cli_cell(&table, "moving, kJ");
    es_cli_cell(&table, "total, kJ");
    es_cli_cell(&table, "CO2e, g");
    for (int i = 0; i < SCHEMES; i++) {
        es_cli_cell(&table, "%s", schemes[i].name);
        es_cli_cell(&table, "%.4g", schemes[i].cost.compute_j / 1e3);
        es_cli_cell(&table, "%.4g", schemes[i].cost.network_j / 1e3);
        es_cli_cell(&table, "%.4g", schemes[i].cost.total_j / 1e3);
        es_cli_cell(&table, "%.4g", schemes[i].cost.carbon_g);
    }
    es_cli_table_print(&table, text);
    es_text_append(text, "\n");
    for (int i = 1; i < SCHEMES; i++)
        put_break_even(l, &schemes[i], text);
    double ratio = es_learning_traffic_ratio(l);
    es_text_format(text,
                   "moving the raw data takes %.3g times the energy of moving models; only above 1 "
                   "do poor links speak for federated learning\n"
                   "counts learning and moving on device, network and data centre with PUE %g (not "
                   "counted: idle, embodied, end of life)\n",
                   ratio, l->pue);
}

es_status es_footprint_learning(es_cli *cli, const es_footprint_options *chosen, const char *path,
                                es_error *err)
{
    (void)chosen;
    es_learning l = es_learning_default();
    if (path != NULL)
        ES_TRY(read_file(cli, path, &l, err));
    else
        es_cli_say(cli, "no file: constants of a small example, from memory, not measured; "
                        "see docs/reference/footprint.md");
    scheme schemes[SCHEMES] = {{.name = "centralised", .cost = es_learning_central(&l)},
                               {.name = "federated", .cost = es_learning_federated(&l)},
                               {.name = "consensus", .cost = es_learning_consensus(&l)}};
    for (int i = 1; i < SCHEMES; i++)
        schemes[i].break_even = es_learning_break_even(&l, i == 2, &schemes[i].below);
    es_text text;
    es_text_init(&text, 1 << 20);
    if (cli->json)
        put_json(&l, schemes, &text);
    else
        put_text(cli, &l, schemes, &text);
    es_status status = es_cli_print(&text, err);
    es_text_done(&text);
    return status;
}
