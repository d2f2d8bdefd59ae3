/*
 * A tandem of nodes in SimGrid, for comparison: tandem_simgrid FILE, with the numbers that
 * src/simulate/event_peers_test.c writes. Prints end clock, mean latency, wall seconds, joules.
 * Every node is an actor that serves one message at a time; links are shared by fair rates.
 */
#include <simgrid/actor.h>
#include <simgrid/comm.h>
#include <simgrid/engine.h>
#include <simgrid/exec.h>
#include <simgrid/host.h>
#include <simgrid/mailbox.h>
#include <simgrid/plugins/energy.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct tandem {
    int nodes;
    double service_s;
    long bytes;
    double bandwidth_bps, latency_s, idle_w, busy_w;
    int count;
    double *arrivals_s;
    double latency_sum_s;
} tandem;

static tandem given; /* actors take no context but text */

static void send_to(int node, double *arrival_s)
{
    char name[32];
    snprintf(name, sizeof name, "m%d", node);
    sg_comm_t comm = sg_mailbox_put_init(sg_mailbox_by_name(name), arrival_s, given.bytes);
    sg_comm_detach(comm, NULL);
}

static void source(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    for (int i = 0; i < given.count; i++) {
        double now_s = simgrid_get_clock();
        if (given.arrivals_s[i] > now_s)
            sg_actor_sleep_for(given.arrivals_s[i] - now_s);
        send_to(0, &given.arrivals_s[i]);
    }
}

static void serve(int argc, char *argv[])
{
    int self = argc > 0 ? atoi(argv[argc - 1]) : 0;
    char name[32];
    snprintf(name, sizeof name, "m%d", self);
    sg_mailbox_set_receiver(name);
    sg_mailbox_t mailbox = sg_mailbox_by_name(name);
    for (int i = 0; i < given.count; i++) {
        double *arrival_s = sg_mailbox_get(mailbox);
        sg_actor_execute(given.service_s * 1e9);
        if (self + 1 < given.nodes)
            send_to(self + 1, arrival_s);
        else
            given.latency_sum_s += simgrid_get_clock() - *arrival_s;
    }
}

static int read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%d %lf %ld %lf %lf %lf %lf %d", &given.nodes,
                               &given.service_s, &given.bytes, &given.bandwidth_bps,
                               &given.latency_s, &given.idle_w, &given.busy_w, &given.count) != 8)
        return 0;
    given.arrivals_s = calloc((size_t)given.count, sizeof(double));
    for (int i = 0; i < given.count; i++) {
        if (fscanf(file, "%lf", &given.arrivals_s[i]) != 1)
            return 0;
    }
    fclose(file);
    return 1;
}

static void write_platform(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        exit(1);
    fprintf(file, "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM "
                  "\"https://simgrid.org/simgrid.dtd\">\n<platform version=\"4.1\">\n"
                  "<zone id=\"z\" routing=\"Full\">\n");
    for (int v = -1; v < given.nodes; v++)
        fprintf(file,
                "<host id=\"h%d\" speed=\"1Gf\"><prop id=\"wattage_per_state\" "
                "value=\"%g:%g:%g\"/></host>\n",
                v, v < 0 ? 0 : given.idle_w, v < 0 ? 0 : given.idle_w, v < 0 ? 0 : given.busy_w);
    for (int v = 0; v < given.nodes; v++)
        fprintf(file, "<link id=\"l%d\" bandwidth=\"%.17gbps\" latency=\"%.17gs\"/>\n", v,
                given.bandwidth_bps, given.latency_s);
    for (int v = 0; v < given.nodes; v++)
        fprintf(file, "<route src=\"h%d\" dst=\"h%d\"><link_ctn id=\"l%d\"/></route>\n", v - 1, v,
                v);
    fprintf(file, "</zone>\n</platform>\n");
    fclose(file);
}

static double wall_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char *argv[])
{
    char platform[] = "/tmp/tandemXXXXXX.xml";
    if (argc < 2 || !read_file(argv[1]))
        return 1;
    int energy = given.busy_w > 0;
    static char *options[] = {"tandem",
                              "--log=root.thresh:error",
                              "--cfg=network/model:CM02",
                              "--cfg=network/TCP-gamma:0",
                              "--cfg=network/crosstraffic:no",
                              "--cfg=network/latency-factor:1",
                              "--cfg=network/bandwidth-factor:1",
                              "--cfg=network/weight-S:0",
                              "--cfg=surf/precision:1e-10",
                              "--cfg=contexts/stack-size:64",
                              NULL};
    int option_count = sizeof options / sizeof options[0] - 1;
    if (energy)
        sg_host_energy_plugin_init();
    simgrid_init(&option_count, options);
    int handle = mkstemps(platform, 4);
    if (handle < 0)
        return 1;
    close(handle);
    write_platform(platform);
    simgrid_load_platform(platform);
    unlink(platform);
    for (int v = 0; v < given.nodes; v++) {
        char host[32];
        char number[32];
        snprintf(host, sizeof host, "h%d", v);
        snprintf(number, sizeof number, "%d", v);
        char *arguments[] = {"serve", number, NULL};
        sg_actor_create("serve", sg_host_by_name(host), serve, 2, arguments);
    }
    sg_actor_create("source", sg_host_by_name("h-1"), source, 0, NULL);
    double start_s = wall_s();
    simgrid_run();
    double spent_s = wall_s() - start_s;
    double joules = 0;
    for (int v = 0; energy && v < given.nodes; v++) {
        char host[32];
        snprintf(host, sizeof host, "h%d", v);
        joules += sg_host_get_consumed_energy(sg_host_by_name(host));
    }
    printf("%.9f %.12f %.6f %.9f\n", simgrid_get_clock(), given.latency_sum_s / given.count,
           spent_s, joules);
    return 0;
}
