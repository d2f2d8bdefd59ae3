/* The program as free-format MPS. Names start with what they are and a number, which makes them
 * unique, and go on with the scenario's names as far as these have letters, digits and room. */
#include "plan/internal.h"

#include <inttypes.h>
#include <math.h>

enum { PART_BYTES_MAX = 24, NAME_BYTES_MAX = 150 }; /* COIN reads fields of up to 160 */

typedef struct mps {
    es_arena *arena;
    const es_problem *problem;
    const es_program *program;
    const char **cols;
    const char **rows;
    char name[NAME_BYTES_MAX + 1];
    size_t size;
    es_error *err;
} mps;

/* ---- names ---- */

static void begin_name(mps *m, const char *word, uint32_t number)
{
    int size = snprintf(m->name, sizeof m->name, "%s%" PRIu32, word, number);
    m->size = (size_t)size;
}

/* Adds _part, made of letters, digits and _ only. */
static void add_part(mps *m, const char *part)
{
    for (size_t i = 0; i <= PART_BYTES_MAX && m->size < NAME_BYTES_MAX; i++) {
        unsigned char c = i == 0 ? '_' : (unsigned char)part[i - 1];
        if (c == '\0')
            break;
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        m->name[m->size++] = plain ? (char)c : '_';
    }
    m->name[m->size] = '\0';
}

static void add_node(mps *m, es_node_id node)
{
    add_part(m, es_network_node(m->problem->scenario->network, node)->name);
}

static void add_class(mps *m, uint32_t class_index)
{
    const es_class *class_ = &m->problem->scenario->classes[class_index];
    add_part(m, m->problem->scenario->tasks[class_->task.index].name);
    add_node(m, class_->node);
}

static void add_segment(mps *m, uint32_t segment)
{
    add_part(m, m->problem->scenario->segments[segment].name);
}

static void add_host(mps *m, uint32_t host)
{
    add_node(m, m->problem->hosts[host].node);
    add_segment(m, m->problem->hosts[host].segment.index);
}

static es_status keep_name(mps *m, const char **out)
{
    *out = es_arena_text(m->arena, m->name);
    return *out != NULL ? ES_OK : es_arena_full(m->arena, "names", m->err);
}

static es_status name_path(mps *m, uint32_t class_index, uint32_t p)
{
    const es_path *path = &m->problem->paths[p];
    begin_name(m, "x", p);
    add_class(m, class_index);
    add_part(m, m->problem->scenario->pipelines[path->pipeline.index].name);
    for (uint32_t k = 0; k < path->stage_count; k++)
        add_node(m, m->problem->hosts[m->problem->stage_hosts[path->stage_first + k]].node);
    return keep_name(m, &m->cols[m->program->path_cols[p]]);
}

static es_status name_cols(mps *m)
{
    const es_problem *problem = m->problem;
    const es_program *program = m->program;
    for (uint32_t r = 0; r < problem->class_count; r++) {
        for (uint32_t p = problem->class_paths[r]; p < problem->class_paths[r + 1]; p++)
            if (program->path_cols[p] != ES_INDEX_NONE)
                ES_TRY(name_path(m, r, p));
        if (program->refused_cols[r] == ES_INDEX_NONE)
            continue;
        begin_name(m, "u", r);
        add_class(m, r);
        ES_TRY(keep_name(m, &m->cols[program->refused_cols[r]]));
    }
    for (uint32_t h = 0; h < problem->host_count; h++) {
        if (program->host_cols[h] == ES_INDEX_NONE)
            continue;
        begin_name(m, "y", h);
        add_host(m, h);
        ES_TRY(keep_name(m, &m->cols[program->host_cols[h]]));
    }
    /* After the hosts: where those share the node's column, it has the node's name. */
    for (uint32_t v = 0; v < problem->node_count; v++) {
        if (program->on_cols[v] == ES_INDEX_NONE)
            continue;
        begin_name(m, "o", v);
        add_node(m, (es_node_id){v});
        ES_TRY(keep_name(m, &m->cols[program->on_cols[v]]));
    }
    for (uint32_t s = 0; s < problem->segment_count; s++) {
        if (program->segment_cols[s] == ES_INDEX_NONE)
            continue;
        begin_name(m, "z", s);
        add_segment(m, s);
        ES_TRY(keep_name(m, &m->cols[program->segment_cols[s]]));
    }
    return ES_OK;
}

static void name_link(mps *m, uint32_t row)
{
    uint32_t directed = m->problem->link_row_links[row];
    const es_link *link =
        es_network_link(m->problem->scenario->network, (es_link_id){directed / 2});
    add_node(m, directed % 2 == 0 ? link->from : link->to);
    add_node(m, directed % 2 == 0 ? link->to : link->from);
}

static es_status name_rows(mps *m)
{
    static const char *const words[ES_ROW_KIND_COUNT] = {"class",  "quality", "compute",  "link",
                                                         "energy", "carbon",  "memory",   "on",
                                                         "cover",  "used",    "replicas", "hosts"};
    for (size_t i = 0; i < m->program->row_lower.count; i++) {
        const es_row_tag *tag = &m->program->row_tags.items[i];
        begin_name(m, words[tag->kind], tag->index);
        switch (tag->kind) {
        case ES_ROW_CLASS:
        case ES_ROW_QUALITY:
            add_class(m, tag->index);
            break;
        case ES_ROW_COMPUTE:
        case ES_ROW_MEMORY:
            add_node(m, (es_node_id){tag->index});
            break;
        case ES_ROW_LINK:
            name_link(m, tag->index);
            break;
        case ES_ROW_COVER:
            m->size += (size_t)snprintf(m->name + m->size, sizeof m->name - m->size, "c%" PRIu32,
                                        tag->class_index);
            add_class(m, tag->class_index);
            add_host(m, tag->index);
            break;
        case ES_ROW_ON:
        case ES_ROW_USED:
            add_host(m, tag->index);
            break;
        case ES_ROW_REPLICAS:
            add_segment(m, tag->index);
            break;
        case ES_ROW_ENERGY:
        case ES_ROW_CARBON:
        case ES_ROW_HOSTS:
        case ES_ROW_KIND_COUNT:
            break;
        }
        ES_TRY(keep_name(m, &m->rows[i]));
    }
    return ES_OK;
}

/* ---- sections ---- */

/* Each row is an equation or has one bound. */
static void write_rows(const mps *m, es_text *out)
{
    es_text_append(out, "ROWS\n N cost_per_s\n");
    for (size_t i = 0; i < m->program->row_lower.count; i++) {
        double lower = m->program->row_lower.items[i];
        double upper = m->program->row_upper.items[i];
        es_text_format(out, " %c %s\n",
                       !isfinite(lower)  ? 'L'
                       : isfinite(upper) ? 'E'
                                         : 'G',
                       m->rows[i]);
    }
}

static es_status write_columns(const mps *m, es_text *out)
{
    const es_program *program = m->program;
    int *starts;
    int *rows;
    double *values;
    bool integer = false;
    ES_TRY(es_program_columns(m->arena, program, &starts, &rows, &values, m->err));
    es_text_append(out, "COLUMNS\n");
    for (size_t c = 0; c < program->col_cost.count; c++) {
        if (program->col_integer.items[c] != integer) {
            integer = !integer;
            es_text_format(out, " MARKER%zu 'MARKER' '%s'\n", c, integer ? "INTORG" : "INTEND");
        }
        /* Always told, so that a column without coefficients exists too. */
        es_text_format(out, " %s cost_per_s %.17g\n", m->cols[c], program->col_cost.items[c]);
        for (int i = starts[c]; i < starts[c + 1]; i++)
            es_text_format(out, " %s %s %.17g\n", m->cols[c], m->rows[rows[i]], values[i]);
    }
    if (integer)
        es_text_append(out, " MARKEREND 'MARKER' 'INTEND'\n");
    return ES_OK;
}

static void write_sides(const mps *m, es_text *out)
{
    const es_program *program = m->program;
    es_text_append(out, "RHS\n");
    for (size_t i = 0; i < program->row_lower.count; i++) {
        double side = isfinite(program->row_lower.items[i]) ? program->row_lower.items[i]
                                                            : program->row_upper.items[i];
        if (side != 0.0)
            es_text_format(out, " rhs %s %.17g\n", m->rows[i], side);
    }
    es_text_append(out, "BOUNDS\n");
    for (size_t c = 0; c < program->col_cost.count; c++)
        es_text_format(out, " UP bnd %s %.17g\n", m->cols[c], program->col_upper.items[c]);
    es_text_append(out, "ENDATA\n");
}

es_status es_problem_write_mps(es_arena *arena, const es_problem *problem, es_text *out,
                               es_error *err)
{
    es_program program;
    ES_TRY(es_program_build(arena, problem, NULL, &program, err));
    mps m = {.arena = arena, .problem = problem, .program = &program, .err = err};
    m.cols = ES_TAKE_ARRAY(arena, const char *, program.col_cost.count);
    m.rows = ES_TAKE_ARRAY(arena, const char *, program.row_lower.count);
    if (m.cols == NULL || m.rows == NULL)
        return es_arena_full(arena, "names", err);
    ES_TRY(name_cols(&m));
    ES_TRY(name_rows(&m));
    m.name[0] = '\0';
    m.size = 0;
    add_part(&m, problem->scenario->name);
    es_text_append(out,
                   "* estran plan: minimise cost_per_s; x: share of a class on a path of nodes,\n"
                   "* u: share refused, y: node hosts segment, o: node is on, z: segment in "
                   "use.\n* Capacities are divided by themselves. The constant of the "
                   "objective is 0.\n");
    if (problem->truncated)
        es_text_append(out, "* Some paths of several stages are left out: too many.\n");
    /* COIN takes the file as free format only with this word. */
    es_text_format(out, "NAME scenario%s FREE\n", m.name);
    write_rows(&m, out);
    ES_TRY(write_columns(&m, out));
    write_sides(&m, out);
    return es_text_status(out, err);
}
