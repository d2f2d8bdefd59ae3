/* A node as a program of its own, for tests: takes the words that a run gives to `estran node`. */
#include "base/text.h"
#include "serve/serve.h"

#include <string.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

int main(int argc, char **argv)
{
    es_node_opts opts = es_node_opts_default();
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, NULL);
    for (int i = 2; i + 1 < argc; i += 2) {
        int64_t number = 0;
        if (strcmp(argv[i], "--name") == 0)
            opts.name = argv[i + 1];
        else if (strcmp(argv[i], "--ort-library") == 0)
            opts.ort_library = argv[i + 1];
        else if (strcmp(argv[i], "--ready-fd") == 0 && es_text_to_int64(argv[i + 1], &number))
            opts.ready_fd = (int)number;
    }
    es_error err = {0};
    if (es_node_serve(opts, &stop, &err) == ES_OK)
        return 0;
    (void)fprintf(stderr, "%s\n", es_error_text(&err));
    return 1;
}
