/* Address space kept back for the small objects of ONNX Runtime. It makes many where no exception
 * may leave (destructors, its log) or none is foreseen (its hash maps): without memory for one of
 * those the process ends, at once or when the session is freed. C++ asks a handler before it gives
 * up; ours gives a block back, but only where small things do not fit any more: a tensor that is
 * too large still fails. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "runtime/internal.h"

#include <dlfcn.h>
#include <sys/mman.h>

enum {
    BLOCKS = 4,
    /* The C library's heap grows by 1 MiB at least where brk is refused. Never touched: no page of
     * it is ever resident. */
    BLOCK_SIZE = 2 << 20,
    SMALL_SIZE = 64 << 10,
};

typedef void (*handler)(void);
typedef handler (*handler_setter)(handler);

static _Atomic(void *) blocks[BLOCKS];
static atomic_int missing = BLOCKS;
static _Atomic(handler) throw_bad_alloc; /* NULL: a C++ library that we do not know, or none yet */

static bool small_fits(void)
{
    void *probe = malloc(SMALL_SIZE); /* from the heap of this thread, as operator new */
    bool fits = probe != NULL;
    free(probe);
    return fits;
}

/* Called by operator new on any thread, again and again while it has no memory. */
static void give_way(void)
{
    bool fits = small_fits();
    for (size_t i = 0; !fits && i < BLOCKS; i++) {
        void *block = atomic_exchange(&blocks[i], NULL);
        if (block == NULL)
            continue;
        atomic_fetch_add(&missing, 1);
        (void)munmap(block, BLOCK_SIZE); /* of our own mapping: cannot fail */
        return;
    }
    handler throws = atomic_load(&throw_bad_alloc);
    throws(); /* does not return */
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

/* A block is left, or can be had again. */
static bool keep(void)
{
    /* A thread's first call makes its thread-local data, which the C library ends the process for.
     */
    static _Thread_local bool entered;
    entered = entered || small_fits();
    if (!entered)
        return false;
    if (atomic_load_explicit(&missing, memory_order_relaxed) == 0)
        return true;
    if (atomic_load(&throw_bad_alloc) == NULL)
        return true; /* nobody would ask */
    for (size_t i = 0; i < BLOCKS; i++)
        if (refill(i))
            atomic_fetch_sub(&missing, 1);
    return atomic_load(&missing) < BLOCKS;
}

es_status es_reserve_keep(const char *what, es_error *err)
{
    return keep() ? ES_OK : es_fail(err, ES_ERR_NOMEM, "%s: no memory left", what);
}

void es_reserve_start(void *library)
{
    /* std::set_new_handler, std::__throw_bad_alloc of the C++ library that the library uses */
    void *symbols[] = {dlsym(library, "_ZSt15set_new_handlerPFvvE"),
                       dlsym(library, "_ZSt17__throw_bad_allocv")};
    if (symbols[0] == NULL || symbols[1] == NULL)
        return;
    handler_setter set = NULL;
    handler throws = NULL;
    memcpy(&set, &symbols[0], sizeof set); /* C has no cast from data to function */
    memcpy(&throws, &symbols[1], sizeof throws);
    atomic_store(&throw_bad_alloc, throws);
    (void)set(give_way);
}
