#include "base/status.h"

static const struct {
    const char *text;
    int exit_code;
    int http;
} status_table[ES_STATUS_COUNT] = {
#define X(name, text_, exit_code_, http_) [ES_##name] = {text_, exit_code_, http_},
    ES_STATUS_MAP(X)
#undef X
};

const char *es_status_text(es_status status)
{
    return (unsigned)status < ES_STATUS_COUNT ? status_table[status].text : "unknown status";
}

int es_status_exit_code(es_status status)
{
    return (unsigned)status < ES_STATUS_COUNT ? status_table[status].exit_code : 1;
}

int es_status_http(es_status status)
{
    return (unsigned)status < ES_STATUS_COUNT ? status_table[status].http : 500;
}

/* Marks a text that did not fit, so that nobody takes a part for the whole. */
static void end_with_dots(char *text, size_t size, int wanted)
{
    if (wanted < 0 || (size_t)wanted < size)
        return;
    size_t cut = size - 4;
    while (cut > 0 && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut--; /* not inside a character */
    memcpy(text + cut, "...", 4);
}

es_status es_fail_v(es_error *err, es_status status, const char *format, va_list args)
{
    if (err == NULL)
        return status;
    err->status = status;
    int wanted = vsnprintf(err->text, sizeof err->text, format, args);
    if (wanted < 0)
        err->text[0] = '\0';
    end_with_dots(err->text, sizeof err->text, wanted);
    return status;
}

es_status es_fail(es_error *err, es_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    es_fail_v(err, status, format, args);
    va_end(args);
    return status;
}

es_status es_within(es_error *err, es_status status, const char *format, ...)
{
    if (status == ES_OK || err == NULL)
        return status;
    char inner[ES_ERROR_SIZE];
    (void)snprintf(inner, sizeof inner, "%s",
                   err->text[0] != '\0' ? err->text : es_status_text(status));
    char where[ES_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(where, sizeof where, format, args);
    va_end(args);
    if (wanted < 0)
        where[0] = '\0';
    end_with_dots(where, sizeof where, wanted);
    wanted = snprintf(err->text, sizeof err->text, "%s: %s", where, inner);
    end_with_dots(err->text, sizeof err->text, wanted);
    err->status = status;
    return status;
}

const char *es_error_text(const es_error *err)
{
    if (err == NULL)
        return "";
    return err->text[0] != '\0' ? err->text : es_status_text(err->status);
}
