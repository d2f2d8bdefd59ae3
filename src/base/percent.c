#include "base/percent.h"

/* Without the locale's opinion. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void es_percent_encode(es_text *out, const char *words)
{
    while (*words != '\0') {
        size_t plain = 0;
        while (is_unreserved(words[plain]))
            plain++;
        es_text_append_n(out, words, plain);
        words += plain;
        if (*words != '\0') {
            es_text_format(out, "%%%02X", (unsigned)(unsigned char)*words);
            words++;
        }
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool es_percent_decode(const char *text, size_t size, bool plus_is_space, char *out, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (used + 1 >= room)
            return false;
        char c = text[i];
        if (c == '%') {
            int high = size - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        out[used++] = c;
    }
    if (room == 0)
        return false;
    out[used] = '\0';
    return true;
}
