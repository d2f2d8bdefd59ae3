#include "internal.h"

#include <strings.h>

/* Equal, in a time that depends on the sizes only. */
static bool same_secret(const char *given, size_t given_size, const char *secret)
{
    size_t size = strlen(secret);
    unsigned differs = given_size != size;
    for (size_t i = 0; i < size; i++)
        differs |= (unsigned char)secret[i] ^ (unsigned char)(i < given_size ? given[i] : 0);
    return differs == 0;
}

uint32_t es_http_bearer_roles(const char *authorization, const es_http_token *tokens, size_t count)
{
    static const char SCHEME[] = "Bearer ";
    uint32_t roles = 0;
    if (authorization == NULL || strncasecmp(authorization, SCHEME, sizeof SCHEME - 1) != 0)
        return 0;
    const char *given = authorization + sizeof SCHEME - 1;
    while (*given == ' ')
        given++;
    size_t size = strnlen(given, ES_HTTP_TOKEN_SIZE_MAX + 1);
    for (size_t i = 0; i < count; i++) { /* all of them, so that time does not tell which */
        if (same_secret(given, size, tokens[i].text))
            roles |= tokens[i].roles;
    }
    return roles;
}
