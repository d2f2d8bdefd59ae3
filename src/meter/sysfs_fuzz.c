/* Whatever the kernel's text files may hold. The first byte chooses the reader. */
#include "internal.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_numbers(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/estran-fuzz-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return;
    (void)unlink(path);
    char words[64];
    uint64_t big = 0;
    int64_t value = 0;
    if (write(fd, data, size) == (ssize_t)size) {
        assert(es_sysfs_read_fd(fd, words, sizeof words) && strlen(words) < sizeof words);
        bool whole = es_sysfs_unsigned_fd(fd, &big);
        bool both = es_sysfs_signed_fd(fd, &value);
        if (whole && big <= INT64_MAX)
            assert(both && (uint64_t)value == big);
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096)
        return 0;
    char words[4097];
    memcpy(words, data + 1, size - 1);
    words[size - 1] = '\0';
    uint64_t busy = 0;
    uint64_t all = 0;
    uint32_t count = 0;
    switch (data[0] % 4) {
    case 0:
        if (es_proc_stat_parse(words, &busy, &all, &count))
            assert(busy <= all && count <= size / 4);
        break;
    case 1:
        (void)es_proc_pid_parse(words, &busy);
        break;
    case 2:
        if (es_sysfs_numbered(words, "power", "_input", &count))
            assert(count < 1000000);
        break;
    default:
        read_numbers(data + 1, size - 1);
    }
    return 0;
}
