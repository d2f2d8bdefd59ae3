/* estran import: a published topology as the network part of a scenario. */
#include "base/document.h"
#include "base/file.h"
#include "cli/cli.h"
#include "network/network.h"

typedef struct options {
    const char *output;
    size_t format;
    double stretch;
    double bandwidth_mbps;
} options;

static const es_option rows[] = {
    {.name = "output",
     .type = ES_OPTION_TEXT,
     .offset = offsetof(options, output),
     .value = "FILE",
     .help = "write the scenario part here; else to stdout"},
    {.name = "format",
     .type = ES_OPTION_WORD,
     .offset = offsetof(options, format),
     .value = "FORMAT",
     .fallback = "auto",
     .words = es_topology_format_names,
     .word_count = ES_TOPOLOGY_FORMAT_COUNT,
     .help = "what the file is"},
    {.name = "stretch",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, stretch),
     .value = "RATIO",
     .fallback = "1",
     .min = 1,
     .max = 100,
     .help = "fibre length over great circle; 1 is the lower bound, roads make it 1.2 to 2"},
    {.name = "bandwidth-mbps",
     .type = ES_OPTION_NUMBER,
     .offset = offsetof(options, bandwidth_mbps),
     .value = "MBPS",
     .fallback = "10000",
     .min = 1e-6,
     .max = 1e9,
     .help = "of links for which the file gives none"},
};

static void write_network(const es_topology *topology, const es_network *network, es_text *out)
{
    es_text_append(out, "format: estran-scenario\nversion: 1\nname: ");
    es_json_quoted(out, topology->name[0] != '\0' ? topology->name : "imported");
    es_text_append(out,
                   "\n# A part of a scenario, for its `include`, which adds kinds, tasks, segments,"
                   " pipelines and demand.\nnodes:\n");
    for (uint32_t i = 0; i < es_network_node_count(network); i++) {
        const es_node *node = es_network_node(network, (es_node_id){i});
        es_text_append(out, "  - {name: ");
        es_json_quoted(out, node->name);
        es_text_append(out, ", tier: network");
        if (node->has_position) {
            es_text_append(out, ", latitude_deg: ");
            es_text_double(out, node->latitude_deg);
            es_text_append(out, ", longitude_deg: ");
            es_text_double(out, node->longitude_deg);
        }
        es_text_append(out, "}\n");
    }
    es_text_append(out, "links:\n");
    for (uint32_t i = 0; i < es_network_link_count(network); i++) {
        const es_link *link = es_network_link(network, (es_link_id){i});
        es_text_append(out, link->directed ? "  - {from: " : "  - {between: [");
        es_json_quoted(out, es_network_node(network, link->from)->name);
        es_text_append(out, link->directed ? ", to: " : ", ");
        es_json_quoted(out, es_network_node(network, link->to)->name);
        es_text_append(out, link->directed ? ", latency_ms: " : "], latency_ms: ");
        es_text_double(out, link->latency_s * 1e3);
        es_text_append(out, ", bandwidth_mbps: ");
        es_text_double(out, link->bandwidth_bps * 1e-6);
        es_text_append(out, "}\n");
    }
}

static es_status run(es_cli *cli, const void *given, const char *const *files, size_t count,
                     es_error *err)
{
    (void)count;
    const options *chosen = given;
    const es_topology *topology = NULL;
    ES_TRY(es_topology_import(cli->arena, files[0], (es_topology_format)chosen->format, &topology,
                              err));
    es_topology_opts opts = es_topology_opts_default();
    opts.stretch = chosen->stretch;
    opts.link.bandwidth_bps = chosen->bandwidth_mbps * 1e6;
    es_network *network = NULL;
    es_topology_report report = {0};
    ES_TRY(es_network_new(cli->arena, &network, err));
    ES_TRY(es_within(err, es_network_from_topology(network, topology, &opts, &report, err), "%s",
                     files[0]));
    ES_TRY(es_within(err, es_network_seal(network, err), "%s", files[0]));
    ES_CLEANUP(es_text_done) es_text text;
    es_text_init(&text, (size_t)1 << 30);
    write_network(topology, network, &text);
    es_cli_say(cli, "%s: %u nodes, %u links (%u self-loops left out, %u parallel links)", files[0],
               report.node_count, report.link_count, report.self_loop_count,
               report.parallel_link_count);
    if (report.latency_default_count > 0)
        es_cli_say(cli, "%u links have no length: they got the default of %g ms",
                   report.latency_default_count, opts.link.latency_s * 1e3);
    if (chosen->output == NULL)
        return es_cli_print(&text, err);
    ES_TRY(es_text_status(&text, err));
    return es_file_write(chosen->output, es_text_get(&text), text.size, err);
}

const es_verb es_verb_import = {
    .name = "import",
    .group = "prepare",
    .summary = "turn a published topology into the network part of a scenario",
    .arguments = "TOPOLOGY",
    .details =
        "Reads GML and GraphML (Topology Zoo), SNDlib native text and XML, and node-link JSON\n"
        "(networkx, topohub). Latency comes from the file's lengths, else from the distance\n"
        "between the nodes over the speed of light in fibre.\n\n"
        "  estran import Abilene.graphml --output network.yaml",
    .file_min = 1,
    .file_max = 1,
    .options = rows,
    .option_count = sizeof rows / sizeof rows[0],
    .options_size = sizeof(options),
    .run = run,
};
