/* A policy in a process of its own: JSON lines on its stdin and stdout (docs/reference/policy.md).
 */
#include "online/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 16 << 20, STALE_MAX = 1000, ARENA_BYTES = 256 << 20 };
#define LATE_S 10.0
#define STOP_NS 20000000 /* between looks whether it ended */
#define STOP_LOOKS 50

extern char **environ;

typedef struct memory {
    const es_idn *idn;
    es_arena *scratch;
    const char *command;
    pid_t pid;
    int to, from; /* -1: closed */
    double late_s;
    es_text out;
    char *line; /* what was read and not yet taken */
    size_t size, capacity;
} memory;

static double now_s(void)
{
    return es_s_from_ns(es_clock_now_ns(es_clock_system()));
}

static es_status fail_gone(memory *own, es_error *err)
{
    int state = 0;
    pid_t ended = own->pid > 0 ? waitpid(own->pid, &state, WNOHANG) : 0;
    if (ended == own->pid)
        own->pid = -1;
    if (ended > 0 && WIFEXITED(state))
        return es_fail(err, ES_ERR_UNAVAILABLE, "policy process '%s' ended with status %d",
                       own->command, WEXITSTATUS(state));
    if (ended > 0 && WIFSIGNALED(state))
        return es_fail(err, ES_ERR_UNAVAILABLE, "policy process '%s' was ended by signal %d",
                       own->command, WTERMSIG(state));
    return es_fail(err, ES_ERR_UNAVAILABLE, "policy process '%s' closed its end", own->command);
}

/* Waits for the pipe to be ready; false when it is late. */
static bool wait_for(int file, short events, double until_s)
{
    for (;;) {
        double left = until_s - now_s();
        struct pollfd one = {.fd = file, .events = events};
        int ready = poll(&one, 1, left > 0 ? (int)fmin(left * 1000 + 1, 1e9) : 0);
        if (ready > 0)
            return true;
        if (ready == 0 && left <= 0)
            return false;
        if (ready < 0 && errno != EINTR)
            return true; /* the read or write that follows tells */
    }
}

static es_status fail_late(const memory *own, uint32_t slot, es_error *err)
{
    return es_fail(err, ES_ERR_UNAVAILABLE,
                   "policy process '%s' is late: no answer for slot %u "
                   "within %g s",
                   own->command, slot, own->late_s);
}

static es_status send(memory *own, uint32_t slot, double until_s, es_error *err)
{
    ES_TRY(es_text_status(&own->out, err));
    const char *bytes = es_text_get(&own->out);
    size_t sent = 0;
    while (sent < own->out.size) {
        if (own->to < 0)
            return fail_gone(own, err);
        if (!wait_for(own->to, POLLOUT, until_s))
            return fail_late(own, slot, err);
        ssize_t part = write(own->to, bytes + sent, own->out.size - sent);
        if (part < 0 && errno != EINTR && errno != EAGAIN) {
            (void)close(own->to);
            own->to = -1;
        }
        sent += part > 0 ? (size_t)part : 0;
    }
    return ES_OK;
}

/* The next line into own->line, terminated; *out_size with the newline. */
static es_status receive(memory *own, uint32_t slot, double until_s, size_t *out_size,
                         es_error *err)
{
    for (;;) {
        char *end = own->size > 0 ? memchr(own->line, '\n', own->size) : NULL;
        if (end != NULL) {
            *end = '\0';
            *out_size = (size_t)(end - own->line) + 1;
            return ES_OK;
        }
        if (own->capacity - own->size < 65536) {
            if (own->capacity >= LINE_MAX_BYTES)
                return es_fail(err, ES_ERR_PARSE,
                               "policy process '%s': a line is longer than %d "
                               "bytes",
                               own->command, LINE_MAX_BYTES);
            size_t capacity = own->capacity == 0 ? 131072 : own->capacity * 2;
            char *larger = realloc(own->line, capacity);
            if (larger == NULL)
                return es_fail(err, ES_ERR_NOMEM, "policy process: no memory for its answer");
            own->line = larger;
            own->capacity = capacity;
        }
        if (!wait_for(own->from, POLLIN, until_s))
            return fail_late(own, slot, err);
        ssize_t part = read(own->from, own->line + own->size, own->capacity - own->size);
        if (part == 0 || (part < 0 && errno != EINTR && errno != EAGAIN)) {
            es_clock_sleep_until_ns(es_clock_system(),
                                    es_clock_now_ns(es_clock_system()) + STOP_NS);
            return fail_gone(own, err);
        }
        own->size += part > 0 ? (size_t)part : 0;
    }
}

static void drop_line(memory *own, size_t size)
{
    memmove(own->line, own->line + size, own->size - size);
    own->size -= size;
}

/* ---- what is said ---- */

static void write_items(es_json *json, const es_idn *idn)
{
    es_json_key(json, "items");
    es_json_list_begin(json);
    for (uint32_t i = 0; i < idn->item_count; i++) {
        const es_idn_item *item = &idn->items[i];
        es_json_map_begin(json);
        es_json_put_int(json, "node", item->node);
        es_json_put_text(json, "model", idn->model_names[item->model]);
        es_json_put_int(json, "copies", item->copies);
        es_json_put_bool(json, "pinned", item->pinned);
        es_json_put_number(json, "size_bytes", item->size_bytes);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void write_types(es_json *json, const es_idn *idn)
{
    es_json_key(json, "types");
    es_json_list_begin(json);
    for (uint32_t t = 0; t < idn->type_count; t++) {
        es_json_map_begin(json);
        es_json_put_text(json, "name", idn->type_names[t]);
        es_json_key(json, "options");
        es_json_list_begin(json);
        for (uint32_t k = idn->type_first[t]; k < idn->type_first[t + 1]; k++) {
            const es_idn_option *option = &idn->options[k];
            es_json_map_begin(json);
            es_json_put_number(json, "cost", option->cost);
            es_json_put_number(json, "capacity", option->capacity);
            es_json_key(json, "items");
            es_json_list_begin(json);
            for (uint32_t i = 0; i < option->item_count; i++)
                es_json_int(json, option->items[i]);
            es_json_list_end(json);
            es_json_map_end(json);
        }
        es_json_list_end(json);
        es_json_map_end(json);
    }
    es_json_list_end(json);
}

static void write_hello(es_text *out, const es_policy_given *given)
{
    const es_idn *idn = given->idn;
    es_json json;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_text(&json, "format", "estran-policy");
    es_json_put_int(&json, "version", 1);
    es_json_put_text(&json, "name", idn->name);
    es_json_put_number(&json, "slot_s", idn->slot_s);
    es_json_put_int(&json, "slot_count", given->slot_count);
    es_json_put_text(&json, "cost_unit", idn->cost_unit);
    es_json_key(&json, "nodes");
    es_json_list_begin(&json);
    for (uint32_t v = 0; v < idn->node_count; v++) {
        es_json_map_begin(&json);
        es_json_put_text(&json, "name", idn->node_names[v]);
        es_json_put_text(&json, "tier", es_tier_name(idn->tiers[v]));
        es_json_put_number(&json, "budget_bytes", idn->budget_bytes[v]);
        es_json_map_end(&json);
    }
    es_json_list_end(&json);
    write_items(&json, idn);
    write_types(&json, idn);
    es_json_map_end(&json);
}

static void write_slot(es_text *out, const es_idn *idn, uint32_t slot, const es_observation *last)
{
    es_json json;
    es_json_init(&json, out, true);
    es_json_map_begin(&json);
    es_json_put_int(&json, "slot", slot);
    if (last != NULL) {
        es_json_put_number(&json, "cost", last->cost);
        es_json_key(&json, "requests");
        es_json_list_begin(&json);
        for (uint32_t t = 0; t < idn->type_count; t++)
            es_json_number(&json, last->requests[t]);
        es_json_list_end(&json);
        es_json_key(&json, "hosted");
        es_json_list_begin(&json);
        for (uint32_t i = 0; i < idn->item_count; i++)
            es_json_int(&json, last->hosted[i]);
        es_json_list_end(&json);
    }
    if (idn->usable != NULL) {
        es_json_key(&json, "unusable");
        es_json_list_begin(&json);
        for (uint32_t i = 0; i < idn->item_count; i++)
            if (!idn->usable[i])
                es_json_int(&json, i);
        es_json_list_end(&json);
    }
    es_json_map_end(&json);
}

/* ---- what is answered ---- */

/* [[item, copies], ...]: the items that change. */
static es_status take_changes(const es_idn *idn, const es_doc *changes, uint32_t *hosted,
                              es_error *err)
{
    for (size_t c = 0; c < changes->as.list.count; c++) {
        const es_doc *change = changes->as.list.items[c];
        int64_t item = 0;
        int64_t copies = 0;
        ES_TRY(es_doc_expect_list(change, err));
        if (change->as.list.count != 2)
            return es_doc_fail(change, err, "must be [item, copies]");
        ES_TRY(es_doc_expect_int(change->as.list.items[0], 0, (int64_t)idn->item_count - 1, &item,
                                 err));
        ES_TRY(es_doc_expect_int(change->as.list.items[1], 0, INT32_MAX, &copies, err));
        hosted[item] = (uint32_t)copies;
    }
    return ES_OK;
}

static es_status take_answer(const es_idn *idn, const es_doc *root, uint32_t *hosted, es_error *err)
{
    const es_doc *list = NULL;
    const es_doc *changes = NULL;
    ES_TRY(es_doc_get_list(root, "hosted", &list, err));
    ES_TRY(es_doc_get_list(root, "changes", &changes, err));
    if (list != NULL && list->as.list.count != idn->item_count)
        return es_doc_fail(list, err, "must have %u numbers, one per item, not %zu",
                           idn->item_count, list->as.list.count);
    for (uint32_t i = 0; list != NULL && i < idn->item_count; i++) {
        int64_t copies = 0;
        ES_TRY(es_doc_expect_int(list->as.list.items[i], 0, INT32_MAX, &copies, err));
        hosted[i] = (uint32_t)copies;
    }
    return changes != NULL ? take_changes(idn, changes, hosted, err) : ES_OK;
}

/* An answer for an earlier slot came late: it is dropped. */
static es_status read_answer(memory *own, uint32_t slot, double until_s, uint32_t *hosted,
                             es_error *err)
{
    for (int stale = 0; stale < STALE_MAX; stale++) {
        size_t size = 0;
        const es_doc *root = NULL;
        int64_t told = 0;
        ES_TRY(receive(own, slot, until_s, &size, err));
        es_arena_reset(own->scratch);
        char *copy = es_arena_text_n(own->scratch, own->line, size - 1);
        drop_line(own, size);
        if (copy == NULL)
            return es_arena_full(own->scratch, "answer", err);
        ES_TRY(es_doc_parse_json(own->scratch, "answer", copy, size - 1, &root, err));
        ES_TRY(ES_DOC_EXPECT_KEYS(root, err, "slot", "hosted", "changes"));
        ES_TRY(es_doc_need_int(root, "slot", 0, UINT32_MAX, &told, err));
        if (told > slot)
            return es_doc_fail(root, err, "slot=%lld is ahead of %u", (long long)told, slot);
        if (told == slot)
            return take_answer(own->idn, root, hosted, err);
    }
    return fail_late(own, slot, err);
}

static es_status decide(void *given, uint32_t slot, const es_observation *last, uint32_t *hosted,
                        es_error *err)
{
    memory *own = given;
    double until_s = now_s() + own->late_s;
    write_slot(&own->out, own->idn, slot, last);
    es_status status = send(own, slot, until_s, err);
    es_text_clear(&own->out);
    ES_TRY(status);
    return es_within(err, read_answer(own, slot, until_s, hosted, err), "policy process, slot %u",
                     slot);
}

/* ---- life ---- */

static void stop(memory *own)
{
    if (own->pid <= 0)
        return;
    bool asked = false;
    for (int look = 0; look < 2 * STOP_LOOKS; look++) {
        if (waitpid(own->pid, NULL, WNOHANG) != 0)
            return;
        if (look == STOP_LOOKS && !asked) {
            (void)kill(own->pid, SIGTERM);
            asked = true;
        }
        struct timespec pause = {.tv_nsec = STOP_NS};
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(own->pid, SIGKILL);
    (void)waitpid(own->pid, NULL, 0);
}

static void done(void *given)
{
    memory *own = given;
    if (own->to >= 0)
        (void)close(own->to);
    if (own->from >= 0)
        (void)close(own->from);
    stop(own);
    es_text_done(&own->out);
    free(own->line);
    es_arena_free(own->scratch);
}

static es_status start(memory *own, es_error *err)
{
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    if (pipe(in) != 0)
        return es_fail(err, ES_ERR_IO, "policy process: no pipe: %s", strerror(errno));
    if (pipe(out) != 0) {
        (void)close(in[0]);
        (void)close(in[1]);
        return es_fail(err, ES_ERR_IO, "policy process: no pipe: %s", strerror(errno));
    }
    int all[] = {in[0], in[1], out[0], out[1]};
    for (size_t i = 0; i < 4; i++)
        (void)fcntl(all[i], F_SETFD, FD_CLOEXEC);
    (void)fcntl(in[1], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    char shell[] = "sh";
    char flag[] = "-c";
    char *command = es_arena_text(own->scratch, own->command);
    char *argv[] = {shell, flag, command, NULL};
    int failed = posix_spawn(&own->pid, "/bin/sh", &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    own->to = in[1];
    own->from = out[0];
    if (failed != 0) {
        own->pid = -1;
        return es_fail(err, ES_ERR_IO, "policy process '%s': %s", own->command, strerror(failed));
    }
    return ES_OK;
}

es_status es_policy_process(const es_policy_given *given, const char *options,
                            es_policy *out_policy, es_error *err)
{
    if (options[0] == '\0')
        return es_fail(err, ES_ERR_ARG, "policy 'process' needs a command: process:COMMAND");
    memory *own = NULL;
    ES_TRY(es_online_take(given->arena, 1, sizeof *own, &own, err));
    *own = (memory){.idn = given->idn, .to = -1, .from = -1, .pid = -1};
    own->late_s = given->late_s > 0 ? given->late_s : LATE_S;
    own->command = es_arena_text(given->arena, options);
    own->scratch = es_arena_new(ARENA_BYTES);
    if (own->command == NULL || own->scratch == NULL) {
        es_arena_free(own->scratch);
        return es_fail(err, ES_ERR_NOMEM, "policy process: no memory");
    }
    es_text_init(&own->out, LINE_MAX_BYTES);
    es_status status = start(own, err);
    if (status == ES_OK) {
        write_hello(&own->out, given);
        status = es_text_status(&own->out, err);
    }
    if (status != ES_OK) {
        done(own);
        return status;
    }
    *out_policy = (es_policy){.name = "process", .memory = own, .decide = decide, .done = done};
    return ES_OK;
}
