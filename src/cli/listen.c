/* What verbs that listen have in common: the address, the tokens, the line when they are ready. */
#include "cli/listen.h"

#include "base/file.h"
#include "base/log.h"

#include <unistd.h>

enum { TOKENS_MAX = 256, TOKENS_BYTES_MAX = 1 << 20 };

/* ---- tokens ---- */

static es_status read_token(es_cli *cli, const char *path, size_t line, char *text,
                            es_http_token *out, es_error *err)
{
    static const char *const roles[] = {"client", "node", "gateway", "controller"};
    static const uint32_t bits[] = {ES_SERVER_CLIENT, ES_SERVER_NODE, ES_SERVER_GATEWAY,
                                    ES_SERVER_CONTROLLER};
    size_t size = strcspn(text, " \t");
    char *role = es_arena_text_n(cli->arena, text, size);
    char *token = text + size + strspn(text + size, " \t");
    size_t length = strcspn(token, " \t\r");
    if (role == NULL)
        return es_arena_full(cli->arena, "tokens", err);
    if (length == 0 || token[length + strspn(token + length, " \t\r")] != '\0')
        return es_fail(err, ES_ERR_PARSE, "%s:%zu: 'ROLE TOKEN' is expected", path, line);
    token[length] = '\0';
    out->text = token;
    for (size_t i = 0; i < 4; i++)
        if (strcmp(role, roles[i]) == 0)
            out->roles = bits[i];
    if (out->roles == 0)
        return es_fail(err, ES_ERR_PARSE,
                       "%s:%zu: role '%.32s' must be client, node, gateway or controller", path,
                       line, role);
    return ES_OK;
}

es_status es_cli_tokens(es_cli *cli, const char *path, const es_http_token **out_tokens,
                        size_t *out_count, es_error *err)
{
    char *text = NULL;
    size_t size = 0;
    size_t line = 0;
    size_t count = 0;
    if (path == NULL)
        return ES_OK;
    ES_TRY(es_file_read(cli->arena, path, TOKENS_BYTES_MAX, &text, &size, err));
    es_http_token *tokens = ES_TAKE_ARRAY(cli->arena, es_http_token, TOKENS_MAX);
    if (tokens == NULL)
        return es_arena_full(cli->arena, "tokens", err);
    while (*text != '\0') {
        char *end = text + strcspn(text, "\n");
        char *next = *end == '\0' ? end : end + 1;
        *end = '\0';
        line++;
        text += strspn(text, " \t\r");
        if (*text != '\0' && *text != '#') {
            if (count == TOKENS_MAX)
                return es_fail(err, ES_ERR_LIMIT, "%s: more than %d tokens", path, TOKENS_MAX);
            ES_TRY(read_token(cli, path, line, text, &tokens[count++], err));
        }
        text = next;
    }
    if (count == 0)
        return es_fail(err, ES_ERR_PARSE, "%s: it holds no token", path);
    *out_tokens = tokens;
    *out_count = count;
    return ES_OK;
}

es_status es_cli_token(es_cli *cli, const char *path, const char **out_token, es_error *err)
{
    char *text = NULL;
    size_t size = 0;
    *out_token = NULL;
    if (path == NULL)
        return ES_OK;
    ES_TRY(es_file_read(cli->arena, path, TOKENS_BYTES_MAX, &text, &size, err));
    text[strcspn(text, "\r\n")] = '\0';
    if (*text == '\0' || strpbrk(text, " \t") != NULL)
        return es_fail(err, ES_ERR_PARSE, "%s: one line with a token is expected", path);
    *out_token = text;
    return ES_OK;
}

/* ---- address and ready line ---- */

es_status es_cli_listen(es_cli *cli, const char *listen, const char **out_address,
                        uint16_t *out_port, es_error *err)
{
    const char *colon = strrchr(listen, ':');
    uint64_t port = 0;
    if (colon == NULL || !es_text_to_uint64(colon + 1, &port) || port > UINT16_MAX)
        return es_fail(err, ES_ERR_ARG, "--listen: '%s' must be ADDRESS:PORT with a port 0..65535",
                       listen);
    *out_address = es_arena_text_n(cli->arena, listen, (size_t)(colon - listen));
    *out_port = (uint16_t)port;
    return *out_address != NULL ? ES_OK : es_arena_full(cli->arena, "address", err);
}

es_status es_cli_ready(int fd, uint16_t port, es_error *err)
{
    char line[32];
    int size = snprintf(line, sizeof line, "ready %u\n", port);
    if (write(fd, line, (size_t)size) != size)
        return es_fail(err, ES_ERR_IO, "--ready-fd: cannot write to file descriptor %d", fd);
    return ES_OK;
}

void es_cli_warn_open(const char *what, const char *address, bool guarded)
{
    bool loopback = strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
    if (!loopback && !guarded)
        es_log(ES_LOG_WARNING, what, "anybody who reaches %s may use it: see --tokens, --tls-cert",
               address);
}
