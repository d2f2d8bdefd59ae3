#include "runtime/testing/tar.h"

#include "base/banned.h"

enum { BLOCK = 512, NAME_AT = 0, NAME_SIZE = 100, SIZE_AT = 124, TYPE_AT = 156, PREFIX_AT = 345 };

static bool octal(const char *digits, size_t count, size_t *out)
{
    size_t value = 0;
    for (size_t i = 0; i < count && digits[i] != '\0' && digits[i] != ' '; i++) {
        if (digits[i] < '0' || digits[i] > '7')
            return false;
        value = value * 8 + (size_t)(digits[i] - '0');
    }
    *out = value;
    return true;
}

bool tar_next(const char *archive, size_t archive_size, size_t *offset, tar_file *out)
{
    while (*offset <= archive_size && archive_size - *offset >= BLOCK) {
        const char *header = archive + *offset;
        size_t size = 0;
        if (header[0] == '\0' || !octal(header + SIZE_AT, 12, &size))
            return false;
        size_t left = archive_size - *offset - BLOCK;
        size_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
        if (size > left)
            return false;
        *offset += BLOCK + (padded < left ? padded : left);
        char type = header[TYPE_AT];
        if (type != '0' && type != '\0')
            continue;
        bool prefixed = memcmp(header + 257, "ustar\0", 6) == 0 && header[PREFIX_AT] != '\0';
        (void)snprintf(out->name, sizeof out->name, "%.155s%s%.100s",
                       prefixed ? header + PREFIX_AT : "", prefixed ? "/" : "", header + NAME_AT);
        out->bytes = header + BLOCK;
        out->size = size;
        return true;
    }
    return false;
}
