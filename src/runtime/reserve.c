/* Address space kept back for the small objects of ONNX Runtime. It makes many where no exception may
 * leave (destructors, its log), and without memory for one of those it ends the process. C++ asks a
 * handler before it gives up; ours gives a block back. Tensors do not come this way: those that do not
 * fit still fail at once. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "runtime/internal.h"

#include <dlfcn.h>
#include <sys/mman.h>

enum {
    BLOCKS = 4,
    /* The C library's heap grows by 1 MiB at least where brk is refused. Never touched: no page of it
     * is ever resident. */
    BLOCK_SIZE = 2 << 20,
};

typedef void (*new_handler)(void);
typedef new_handler (*handler_setter)(new_handler);

static _Atomic(void *) blocks[BLOCKS];
static atomic_int missing = BLOCKS;
static _Atomic(handler_setter) set_handler; /* std::set_new_handler; NULL: no library yet */

/* Called by operator new, on any thread, as often as it stays without memory. */
static void give_way(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        void *block = atomic_exchange(&blocks[i], NULL);
        if (block == NULL)
            continue;
        atomic_fetch_add(&missing, 1);
        (void)munmap(block, BLOCK_SIZE); /* of our own mapping: cannot fail */
        return;
    }
    handler_setter set = atomic_load(&set_handler);
    (void)set(NULL); /* nothing left to give: it fails */
}

/* False when it is there already, or there is no room. */
static bool refill(size_t i)
{
    if (atomic_load(&blocks[i]) != NULL)
        return false;
    void *block =
        mmap(NULL, BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return false;
    void *none = NULL;
    if (atomic_compare_exchange_strong(&blocks[i], &none, block))
        return true;
    (void)munmap(block, BLOCK_SIZE); /* another thread was first */
    return false;
}

bool es_reserve_keep(void)
{
    if (atomic_load_explicit(&missing, memory_order_relaxed) == 0)
        return true;
    handler_setter set = atomic_load(&set_handler);
    if (set == NULL)
        return true; /* a C++ library without handlers */
    for (size_t i = 0; i < BLOCKS; i++)
        if (refill(i))
            atomic_fetch_sub(&missing, 1);
    if (atomic_load(&missing) == BLOCKS)
        return false;
    (void)set(give_way);
    return true;
}

void es_reserve_start(void *library)
{
    void *symbol = dlsym(library, "_ZSt15set_new_handlerPFvvE"); /* of the library's C++ library */
    handler_setter set = NULL;
    memcpy(&set, &symbol, sizeof symbol); /* C has no cast from data to function */
    atomic_store(&set_handler, set);
}
