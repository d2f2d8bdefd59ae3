#include "base/percent.h"
#include "internal.h"

bool es_http_query_find(const char *query, const char *name, char *out, size_t room)
{
    size_t name_size = strlen(name);
    for (const char *at = query; *at != '\0';) {
        size_t size = strcspn(at, "&");
        if (size >= name_size && memcmp(at, name, name_size) == 0) {
            if (size == name_size) { /* a name alone has an empty value */
                if (room > 0)
                    out[0] = '\0';
                return room > 0;
            }
            if (at[name_size] == '=')
                return es_percent_decode(at + name_size + 1, size - name_size - 1, true, out, room);
        }
        at += size;
        if (*at == '&')
            at++;
    }
    return false;
}

/* Segment sizes run to the next slash. */
static size_t segment_size(const char *at)
{
    return strcspn(at, "/");
}

bool es_http_path_fits(const char *pattern, const char *path, es_http_match *match, char *scratch,
                       size_t room)
{
    match->count = 0;
    if (*path != '/')
        return false;
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t wanted = segment_size(pattern);
        size_t given = segment_size(path);
        if (wanted >= 2 && pattern[0] == '{') {
            size_t used = 0;
            if (given == 0 || match->count == ES_HTTP_PARAMS_MAX ||
                !es_percent_decode(path, given, false, scratch, room))
                return false;
            match->names[match->count] = pattern + 1; /* ends at the brace */
            match->values[match->count++] = scratch;
            used = strlen(scratch) + 1;
            scratch += used;
            room -= used;
        } else if (wanted != given || memcmp(pattern, path, given) != 0) {
            return false;
        }
        pattern += wanted;
        path += given;
    }
    if (path[0] == '/' && path[1] == '\0')
        path++;
    return *pattern == '\0' && *path == '\0';
}

es_status es_http_pattern_check(const char *pattern, es_error *err)
{
    size_t segments = 0;
    size_t params = 0;
    if (pattern == NULL || pattern[0] != '/')
        return es_fail(err, ES_ERR_ARG, "route path '%s' must begin with '/'",
                       pattern == NULL ? "" : pattern);
    for (const char *at = pattern; *at == '/';) {
        at++;
        size_t size = segment_size(at);
        bool is_param = size > 0 && at[0] == '{';
        if (is_param && (size < 3 || at[size - 1] != '}'))
            return es_fail(err, ES_ERR_ARG, "route path '%s': '{' without name or '}'", pattern);
        params += is_param;
        segments++;
        at += size;
    }
    if (segments > ES_HTTP_SEGMENTS_MAX || params > ES_HTTP_PARAMS_MAX)
        return es_fail(err, ES_ERR_ARG, "route path '%s' has more than %d segments or %d names",
                       pattern, ES_HTTP_SEGMENTS_MAX, ES_HTTP_PARAMS_MAX);
    return ES_OK;
}
