/*
 * Joules of this process, where the machine has counters: what the node uses above rest, shared by
 * processor time. Without counters there is nothing to add to the power that the scenario declares.
 */
#include "node_internal.h"

#include <math.h>
#include <unistd.h>

struct es_node_meter {
    es_meter *meter;
    es_meter_mark last;
    double node_s, all_s, own_s; /* processor time at the last mark */
    double energy_j;
    uint32_t sources;
    int64_t read_ns;
};

static const int64_t period_ns = 500 * ES_NS_PER_MS;

static bool cpu_times(const es_meter *meter, double *out_node_s, double *out_all_s,
                      double *out_own_s)
{
    return es_meter_cpu_node(es_meter_root(meter), out_node_s, out_all_s, NULL) == ES_OK &&
           es_meter_cpu_process("", getpid(), out_own_s, NULL) == ES_OK;
}

void es_node_meter_start(es_node_server *node)
{
    es_meter_opts opts = es_meter_opts_default();
    opts.root = node->opts.meter_root != NULL ? node->opts.meter_root : getenv("ESTRAN_METER_ROOT");
    es_node_meter *own = ES_TAKE_ONE(node->arena, es_node_meter);
    if (own == NULL || es_meter_new(node->arena, opts, &own->meter, NULL) != ES_OK ||
        !isnan(es_meter_idle_w(own->meter)) ||
        !cpu_times(own->meter, &own->node_s, &own->all_s, &own->own_s))
        return; /* a node serves without a meter too */
    es_meter_read(own->meter, &own->last);
    own->read_ns = es_clock_now_ns(es_clock_system());
    node->meter = own;
}

static void add(es_node_meter *own)
{
    es_meter_mark now;
    double node_s = 0;
    double all_s = 0;
    double own_s = 0;
    es_meter_read(own->meter, &now);
    es_meter_figure figure = es_meter_between(own->meter, &own->last, &now);
    if (!figure.known || !cpu_times(own->meter, &node_s, &all_s, &own_s))
        return; /* the next time covers this one too */
    double worked_s = fmax(0, node_s - own->node_s);
    double passed_s = all_s - own->all_s;
    es_meter_share share = {.busy_s = fmax(0, own_s - own->own_s)};
    es_meter_share residue;
    double idle_j = es_meter_idle_j(figure.energy_j, figure.covered_s,
                                    passed_s > 0 ? worked_s / passed_s : 1, (double)NAN);
    if (es_meter_split(figure.energy_j, idle_j, worked_s, ES_METER_IDLE_NONE, &share, 1, &residue,
                       NULL) == ES_OK) {
        own->energy_j += share.active_j;
        own->sources |= figure.sources;
    }
    own->last = now;
    own->node_s = node_s;
    own->all_s = all_s;
    own->own_s = own_s;
}

void es_node_meter_read(es_node_server *node, bool at_once)
{
    es_node_meter *own = node->meter;
    int64_t now_ns = own != NULL ? es_clock_now_ns(es_clock_system()) : 0;
    if (own == NULL || (!at_once && now_ns - own->read_ns < period_ns))
        return;
    own->read_ns = now_ns;
    add(own);
}

void es_node_meter_tell(const es_node_server *node, es_stats *stats)
{
    if (node->meter == NULL)
        return;
    stats->energy_uj = (uint64_t)(node->meter->energy_j * 1e6);
    stats->energy_sources = node->meter->sources;
}
