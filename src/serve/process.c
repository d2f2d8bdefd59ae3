#include "run_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { CHILD_READY_FD = 3, CHILD_CANNOT_RUN = 127, POLL_MS = 50 };

/* Between fork and exec: only calls that are safe there. */
static void become_child(pid_t parent, int ready_fd, const char *program, char *const *arguments)
{
    sigset_t none;
    (void)setpgid(0, 0); /* Ctrl-C goes to the run alone; it ends its nodes */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0UL, 0UL, 0UL);
    if (getppid() != parent)
        _exit(CHILD_CANNOT_RUN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGINT, SIG_DFL); /* a shell's background jobs ignore it */
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(CHILD_CANNOT_RUN);
    if (ready_fd != CHILD_READY_FD) {
        if (dup2(ready_fd, CHILD_READY_FD) < 0)
            _exit(CHILD_CANNOT_RUN);
    } else if (fcntl(ready_fd, F_SETFD, 0) != 0) {
        _exit(CHILD_CANNOT_RUN);
    }
    (void)execve(program, arguments, environ); /* comes back only on failure */
    _exit(CHILD_CANNOT_RUN);
}

static es_status make_pipe(int ends[2], es_error *err)
{
    if (pipe(ends) != 0)
        return es_fail(err, ES_ERR_IO, "cannot make a pipe: %s", strerror(errno));
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC); /* the descriptors are ours and valid */
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return ES_OK;
}

/* exec's table is not const, yet nobody writes to it. */
static char *word(const char *text)
{
    union {
        const char *given;
        char *wanted;
    } same = {.given = text};
    return same.wanted;
}

es_status es_child_start(const char *program, const char *const *words, size_t count, es_child *out,
                         es_error *err)
{
    char *arguments[ES_CHILD_WORDS_MAX + 4] = {word(program)};
    int ends[2] = {-1, -1};
    assert(count <= ES_CHILD_WORDS_MAX);
    if (access(program, X_OK) != 0)
        return es_fail(err, ES_ERR_IO, "cannot run '%s': %s", program, strerror(errno));
    for (size_t i = 0; i < count; i++)
        arguments[1 + i] = word(words[i]);
    arguments[1 + count] = word("--ready-fd");
    arguments[2 + count] = word("3");
    ES_TRY(make_pipe(ends, err));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become_child(parent, ends[1], program, arguments);
    int reason = errno;
    (void)close(ends[1]); /* the child's end */
    if (pid < 0) {
        (void)close(ends[0]); /* nothing was started */
        return es_fail(err, ES_ERR_IO, "cannot start a process: %s", strerror(reason));
    }
    *out = (es_child){.pid = pid, .ready_fd = ends[0]};
    return ES_OK;
}

const char *es_child_end_text(const es_child *child, char *out, size_t size)
{
    if (child->pid != 0)
        (void)snprintf(out, size, "closed its connection");
    else if (WIFSIGNALED(child->wait_status))
        (void)snprintf(out, size, "was ended by signal %d", WTERMSIG(child->wait_status));
    else
        (void)snprintf(out, size, "exited with status %d", WEXITSTATUS(child->wait_status));
    return out;
}

static es_status parse_ready(es_child *child, const char *line, es_error *err)
{
    uint64_t port = 0;
    if (strncmp(line, "ready ", 6) != 0 || !es_text_to_uint64(line + 6, &port) || port == 0 ||
        port > UINT16_MAX)
        return es_fail(err, ES_ERR_PARSE, "it said '%s' instead of 'ready PORT'", line);
    child->port = (uint16_t)port;
    return ES_OK;
}

es_status es_child_await_ready(es_child *child, int64_t deadline_ns,
                               const volatile sig_atomic_t *stop, es_error *err)
{
    char line[64];
    size_t size = 0;
    for (;;) {
        if (stop != NULL && *stop != 0)
            return es_fail(err, ES_ERR_CANCELLED, "cancelled");
        if (es_clock_now_ns(es_clock_system()) > deadline_ns)
            return es_fail(err, ES_ERR_UNAVAILABLE, "it did not say in time that it is ready");
        struct pollfd wanted = {.fd = child->ready_fd, .events = POLLIN};
        if (poll(&wanted, 1, POLL_MS) <= 0)
            continue;
        ssize_t got = read(child->ready_fd, line + size, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            char text[64];
            (void)es_child_reap(child, 1000); /* the text tells either way */
            return es_fail(err, ES_ERR_UNAVAILABLE, "the process %s before it was ready",
                           es_child_end_text(child, text, sizeof text));
        }
        bool ended = line[size] == '\n';
        size += ended ? 0 : 1;
        if (ended || size == sizeof line - 1) {
            line[size] = '\0';
            return parse_ready(child, line, err);
        }
    }
}

bool es_child_reap(es_child *child, int wait_ms)
{
    es_clock *clock = es_clock_system();
    int64_t until_ns = es_clock_now_ns(clock) + wait_ms * ES_NS_PER_MS;
    while (child->pid > 0) {
        pid_t got = waitpid(child->pid, &child->wait_status, WNOHANG);
        if (got == child->pid || (got < 0 && errno != EINTR))
            child->pid = 0;
        else if (es_clock_now_ns(clock) >= until_ns)
            return false;
        else
            es_clock_sleep_until_ns(clock, es_clock_now_ns(clock) + ES_NS_PER_MS);
    }
    return true;
}

void es_children_end(es_child *const *children, size_t count, int grace_ms)
{
    es_clock *clock = es_clock_system();
    int64_t until_ns = es_clock_now_ns(clock) + grace_ms * ES_NS_PER_MS;
    for (size_t i = 0; i < count; i++) {
        if (children[i]->pid > 0)
            (void)kill(children[i]->pid, SIGTERM); /* gone already is fine */
    }
    for (size_t i = 0; i < count; i++) {
        int64_t left_ns = until_ns - es_clock_now_ns(clock);
        if (es_child_reap(children[i], left_ns > 0 ? (int)(left_ns / ES_NS_PER_MS) : 0))
            continue;
        (void)kill(children[i]->pid, SIGKILL);
        (void)es_child_reap(children[i], 10000); /* the kernel ends it */
    }
    for (size_t i = 0; i < count; i++) {
        if (children[i]->ready_fd > 0)
            (void)close(children[i]->ready_fd); /* nothing to do about it */
        children[i]->ready_fd = -1;
    }
}
