/*
 * routes, private to route: which way requests take. The headers that a request carries between
 * gateway and nodes, the documents that say what a gateway and a node must know, and how these are
 * made from a scenario and its plan.
 *
 * Documents: estran-cluster (given: where the processes are), estran-routes (for a gateway), peers
 * (for a node); docs/reference/routes.md and cluster.md. Everything lives in the arena and is
 * read-only once made. Mistakes in documents are ES_ERR_PARSE with file:line:column, in headers
 * ES_ERR_PARSE with the place in the header.
 */
#ifndef ES_ROUTE_ROUTES_H
#define ES_ROUTE_ROUTES_H

#include "base/document.h"
#include "oip/oip.h"
#include "plan/plan.h"

enum {
    ES_SERVE_NAME_BYTES_MAX = 255,          /* of nodes, models, tasks, outputs */
    ES_SERVE_URL_BYTES_MAX = 512,           /* of a peer's address */
    ES_SERVE_TOKEN_BYTES_MAX = 512,         /* of a bearer token */
    ES_SERVE_HEADER_BYTES_MAX = 8192,       /* of a route or of stages as text */
    ES_SERVE_DOCUMENT_BYTES_MAX = 64 << 20, /* of routes, peers and cluster */
    ES_SERVE_OPTIONS_MAX = 256              /* of a class */
};

/* ---- headers ---- */

extern const char ES_ROUTE_HEADER[];   /* "Estran-Route": what is still to be done */
extern const char ES_STAGES_HEADER[];  /* "Estran-Stages": what was done */
extern const char ES_PARTIAL_HEADER[]; /* "Estran-Partial": 1 on the best answer that there was */
extern const char ES_DUE_HEADER[];     /* "Estran-Due-Ns": emulated links, monotonic clock */
extern const char ES_TURN_HEADER[];    /* "Estran-Turn": emulated processors serve in this order */

#define ES_SERVE_EXIT_NEVER 2.0 /* an exit that nothing reaches, as in scenarios */

/* An output of a model: by name; when name is NULL by place; ES_INDEX_NONE: the default. */
typedef struct es_serve_output {
    const char *name;
    uint32_t index;
} es_serve_output;

/* How the tensor goes from a stage to the next. */
typedef enum es_serve_payload {
    ES_SERVE_PAYLOAD_SAME, /* as it is */
    ES_SERVE_PAYLOAD_U8,   /* floats as 8 bits with scale and zero point */
    ES_SERVE_PAYLOAD_COUNT
} es_serve_payload;

typedef struct es_serve_stage {
    const char *node;
    const char *model;
    double exit; /* 0..1: the answer leaves here when its confidence is at least this; NEVER */
    es_serve_output exit_output; /* the answer here; default: the first */
    es_serve_output forward;     /* what goes on; default: the first that is not exit_output */
    es_stage_input input;        /* of this stage: what the one before sent, or the request */
    es_serve_payload payload;    /* of what goes on */
} es_serve_stage;

/* The stages that a request still has to pass; the first is the receiver's. */
typedef struct es_serve_route {
    uint32_t stage_count; /* 1..ES_STAGE_COUNT_MAX */
    es_serve_stage stages[ES_STAGE_COUNT_MAX];
} es_serve_route;

/* The value of an Estran-Route header; names are copied to the arena. Refused: more stages than
 * allowed, names that are empty, too long or hold control characters, an exit outside 0..1,
 * unknown or repeated parameters, and exit, forward or payload at the last stage. */
es_status es_serve_route_decode(es_arena *arena, const char *text, es_serve_route *out,
                                es_error *err) ES_MUST_CHECK;

/* Appends the stages from `first` (< stage_count) on. Reading it gives the same stages. */
void es_serve_route_encode(const es_serve_route *route, uint32_t first, es_text *out);

/* What a stage did for one request. */
typedef struct es_serve_visit {
    const char *node;
    const char *model;
    uint64_t queue_us;   /* waited there */
    uint64_t compute_us; /* its share of the batch it ran in counts whole */
    double joules;       /* above idle; NAN: not known */
    double grams;        /* CO2e of these joules; NAN: not known */
    const char *source;  /* of joules: "model", "rapl", ...; NULL: not known */
} es_serve_visit;

/* The value of an Estran-Stages header, at most ES_STAGE_COUNT_MAX visits into out[]; text NULL or
 * empty: none. Unknown parameters are ignored. */
es_status es_serve_visits_decode(es_arena *arena, const char *text,
                                 es_serve_visit out[ES_STAGE_COUNT_MAX], uint32_t *out_count,
                                 es_error *err) ES_MUST_CHECK;

/* Appends one visit, with a comma before it where text is not empty. */
void es_serve_visit_append(es_text *text, const es_serve_visit *visit);

/* ---- peers: whom a process may send requests to ---- */

typedef struct es_serve_peer {
    const char *name;
    const char *url;        /* http://HOST:PORT or https://HOST:PORT */
    const char *token;      /* bearer token shown to it; NULL: none */
    double latency_s;       /* emulated, one way; 0: none */
    double bandwidth_bps;   /* emulated, of the narrowest link on the way; INFINITY: none */
    double relay_s_per_bit; /* emulated, of the other links together; 0: there are none */
    bool one_way; /* emulated towards the peer alone: answers come back at once and say when they
                     left, for whoever asked first to take them over the way that they have */
} es_serve_peer;

/* The way from one node of a scenario to another, as figures of a peer; false: there is none, and
 * they stay as they are. from == to: no link. O(links of the way). */
bool es_serve_peer_link(const es_scenario *scenario, es_node_id from, es_node_id to,
                        es_serve_peer *peer);

/* `{"peers": [...]}`, the body of PUT /estran/v1/peers. */
es_status es_serve_peers_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                               const es_serve_peer **out_peers, size_t *out_count,
                               es_error *err) ES_MUST_CHECK;
/* with_tokens: see es_serve_routes_write. */
void es_serve_peers_write(const es_serve_peer *peers, size_t count, bool with_tokens, es_text *out);

/* ---- routes: what a gateway needs, and nothing else ---- */

/* A way that a share of a class takes. Figures are predictions for one request. */
typedef struct es_serve_option {
    double share;      /* (0, 1] */
    const char *route; /* the header's text; decodes */
    uint32_t peer;     /* of its first stage, in peers */
    uint32_t stage_count;
    double latency_s;     /* expected, without queueing */
    double latency_s_p95; /* NAN: not known */
    double quality;       /* 0..1 */
    double energy_j;
    double carbon_gco2e;
} es_serve_option;

typedef struct es_serve_class {
    const char *task;
    const char *entry;    /* node where its requests enter */
    double deadline_s;    /* INFINITY: none */
    double refused_share; /* with the shares of the options: 1, to 1e-6 */
    size_t option_count;  /* at most ES_SERVE_OPTIONS_MAX */
    const es_serve_option *options;
} es_serve_class;

/* What requests and answers of a task hold: told by gateways as metadata. */
typedef struct es_serve_task {
    const char *name;
    size_t input_count;
    const es_port *inputs; /* dims -1: free */
    size_t output_count;
    const es_port *outputs; /* a pipeline has one answer; its name is given to all answers */
} es_serve_task;

typedef struct es_serve_routes {
    int64_t generation; /* >= 1; a gateway refuses to go back */
    const char *plan;   /* which plan it was made from, for people */
    size_t peer_count;
    const es_serve_peer *peers;
    size_t class_count;
    const es_serve_class *classes; /* (task, entry) are different */
    size_t task_count;             /* those of which more is known than their names */
    const es_serve_task *tasks;
} es_serve_routes;

/* Reads and checks the whole document: nothing of it is taken when anything is wrong.
 * O(bytes + options). */
es_status es_serve_routes_load(es_arena *arena, const char *path,
                               const es_serve_routes **out_routes, es_error *err) ES_MUST_CHECK;
es_status es_serve_routes_parse(es_arena *arena, const char *name, const char *bytes, size_t size,
                                const es_serve_routes **out_routes, es_error *err) ES_MUST_CHECK;

/* Canonical JSON; reading and writing again gives the same bytes. with_tokens: false leaves the
 * peers' tokens out, for whoever may look but not send. */
void es_serve_routes_write(const es_serve_routes *routes, bool with_tokens, es_text *out);

/* The keys inputs and outputs of a task, into a map that is open. */
void es_serve_task_write(es_json *json, const es_serve_task *task);

/* ---- cluster: where the processes are (given) ---- */

typedef struct es_cluster_process {
    const char *name; /* of nodes: the scenario's */
    const char *url;
    const char *token;   /* what token_file holds; NULL: none */
    const char *ca_file; /* PEM, whom to trust; NULL: the system's */
    const char *entry;   /* of a gateway: it serves the classes of this node; NULL: all */
} es_cluster_process;

typedef struct es_cluster {
    const char *file;
    size_t node_count;
    const es_cluster_process *nodes;
    size_t gateway_count;
    const es_cluster_process *gateways;
    const es_cluster_process *controller; /* NULL: none */
} es_cluster;

/* YAML or JSON; files that it names are resolved against its folder, tokens read. scenario, when
 * not NULL, must have every node that is named. */
es_status es_cluster_load(es_arena *arena, const char *path, const es_scenario *scenario,
                          const es_cluster **out_cluster, es_error *err) ES_MUST_CHECK;
es_status es_cluster_parse(es_arena *arena, const char *name, const char *folder, const char *bytes,
                           size_t size, bool json, const es_scenario *scenario,
                           const es_cluster **out_cluster, es_error *err) ES_MUST_CHECK;

/* NULL when absent. O(count). */
const es_cluster_process *es_cluster_node(const es_cluster *cluster, const char *name);
const es_cluster_process *es_cluster_gateway(const es_cluster *cluster, const char *name);

/* ---- made from a plan ---- */

typedef struct es_serve_make_opts {
    int64_t generation;          /* default 1 */
    const char *plan;            /* default NULL: the scenario's name */
    const char *entry;           /* only classes that enter at this node; default NULL: all */
    const double *latency_s_p95; /* [plan->routing_count], from a simulation; default NULL */
    bool emulate; /* tell peers the latency and bandwidth of the scenario; default false */
    bool one_way; /* with emulate: see es_serve_peer; default false */
    bool models;  /* read the segments' files and tell what tasks take and give; default false */
} es_serve_make_opts;

es_serve_make_opts es_serve_make_opts_default(void);

/* The way of a routing that fits the scenario, as a header tells it; names are the scenario's. */
es_serve_route es_serve_route_of(const es_scenario *scenario, const es_routing *routing);

/* The routes of a gateway. Models are the plan's segments; texts of scenario, plan and cluster are
 * borrowed. Fails where the plan's routing touches a
 * node that the cluster does not have. With emulate but no entry, gateways have no links. */
es_status es_serve_routes_make(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                               const es_cluster *cluster, es_serve_make_opts opts,
                               const es_serve_routes **out_routes, es_error *err) ES_MUST_CHECK;

/* Whom a node has to know: the nodes of the stages after its own in any routing of the plan, in
 * order of the scenario. opts.entry is not used. */
es_status es_serve_peers_make(es_arena *arena, const es_scenario *scenario, const es_plan *plan,
                              const es_cluster *cluster, es_node_id node, es_serve_make_opts opts,
                              const es_serve_peer **out_peers, size_t *out_count,
                              es_error *err) ES_MUST_CHECK;

/* ---- tables by two names ---- */

/* Of two texts, for open-addressing tables of es_serve_table_size(count) slots, a power of two. */
uint64_t es_serve_hash(const char *first, const char *second);
size_t es_serve_table_size(size_t count);

#endif
