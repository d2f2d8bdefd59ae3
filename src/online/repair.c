#include "online/repair.h"

struct es_repair {
    const es_idn *idn;
    double *now;    /* [type] cost at hosted */
    double *worth;  /* [item] what adding one copy saves */
    double *loss;   /* [item] what dropping one copy costs */
    double *bound;  /* [item] no more is saved by adding one copy */
    uint32_t *kept; /* [item] */
    bool *marked;   /* [type] */
};

es_status es_repair_new(es_arena *arena, const es_idn *idn, es_repair **out_repair, es_error *err)
{
    es_repair *repair = NULL;
    ES_TRY(es_online_take(arena, 1, sizeof *repair, &repair, err));
    repair->idn = idn;
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *repair->now, &repair->now, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *repair->worth, &repair->worth, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *repair->loss, &repair->loss, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *repair->bound, &repair->bound, err));
    ES_TRY(es_online_take(arena, idn->item_count, sizeof *repair->kept, &repair->kept, err));
    ES_TRY(es_online_take(arena, idn->type_count, sizeof *repair->marked, &repair->marked, err));
    *out_repair = repair;
    return ES_OK;
}

/* Cost of the types that item serves, at hosted as it stands. */
static double cost_around(const es_repair *repair, const es_idn_load *load, uint32_t item,
                          const double *hosted)
{
    double cost = 0;
    for (uint32_t i = repair->idn->use_first[item]; i < repair->idn->use_first[item + 1]; i++)
        cost += es_idn_type_cost(load, repair->idn->use_types[i], hosted);
    return cost;
}

static double now_around(const es_repair *repair, uint32_t item)
{
    double cost = 0;
    for (uint32_t i = repair->idn->use_first[item]; i < repair->idn->use_first[item + 1]; i++)
        cost += repair->now[repair->idn->use_types[i]];
    return cost;
}

static void refresh_now(es_repair *repair, const es_idn_load *load, uint32_t item,
                        const double *hosted)
{
    for (uint32_t i = repair->idn->use_first[item]; i < repair->idn->use_first[item + 1]; i++)
        repair->now[repair->idn->use_types[i]] =
            es_idn_type_cost(load, repair->idn->use_types[i], hosted);
}

static void weigh(es_repair *repair, const es_idn_load *load, uint32_t item, double least,
                  double *hosted)
{
    const es_idn_item *one = &repair->idn->items[item];
    repair->worth[item] = 0;
    repair->loss[item] = 0;
    bool may_add = hosted[item] + 0.5 < one->copies && repair->bound[item] > least;
    if (one->pinned || (!may_add && hosted[item] < 0.5))
        return;
    double now = now_around(repair, item);
    if (may_add) {
        hosted[item] += 1;
        repair->worth[item] = now - cost_around(repair, load, item, hosted);
        hosted[item] -= 1;
    }
    if (hosted[item] > 0.5) {
        hosted[item] -= 1;
        repair->loss[item] = cost_around(repair, load, item, hosted) - now;
        hosted[item] += 1;
    }
}

enum { DROPS_MAX = 32 };

/* Add one copy of an item, drop a few of others on its node. */
typedef struct move {
    double saved; /* cost */
    uint32_t add;
    uint32_t drop_count;
    uint32_t drops[DROPS_MAX];
} move;

/* What adding `add` and dropping `drop` saves, exactly where both serve the same type. */
static double swap_saves(es_repair *repair, const es_idn_load *load, uint32_t add, uint32_t drop,
                         double *hosted)
{
    const es_idn *r = repair->idn;
    bool related = false;
    for (uint32_t i = r->use_first[add]; i < r->use_first[add + 1] && !related; i++)
        for (uint32_t j = r->use_first[drop]; j < r->use_first[drop + 1] && !related; j++)
            related = r->use_types[i] == r->use_types[j];
    if (!related)
        return repair->worth[add] - repair->loss[drop];
    double before = now_around(repair, add);
    hosted[add] += 1;
    hosted[drop] -= 1;
    double after = cost_around(repair, load, add, hosted);
    hosted[add] -= 1;
    hosted[drop] += 1;
    /* types that only drop serves are left out: exact where both serve the same ones */
    return before - after;
}

/* Cheapest way found to make room for `add`: one item, or several by rising loss per byte. */
static void make_room(es_repair *repair, const es_idn_load *load, uint32_t node, double room,
                      move *best, uint32_t add, double *hosted)
{
    const es_idn *idn = repair->idn;
    double need = idn->items[add].size_bytes - room;
    if (need <= 0) {
        if (repair->worth[add] > best->saved)
            *best = (move){.saved = repair->worth[add], .add = add};
        return;
    }
    if (repair->worth[add] <= best->saved)
        return; /* dropping never saves */
    for (uint32_t j = idn->node_first[node]; j < idn->node_first[node + 1]; j++) {
        if (j == add || idn->items[j].pinned || hosted[j] < 0.5 || idn->items[j].size_bytes < need)
            continue;
        double saved = swap_saves(repair, load, add, j, hosted);
        if (saved > best->saved)
            *best = (move){.saved = saved, .add = add, .drop_count = 1, .drops = {j}};
    }
    move several = {.saved = repair->worth[add], .add = add};
    while (need > 0 && several.drop_count < DROPS_MAX) {
        uint32_t least = ES_INDEX_NONE;
        for (uint32_t j = idn->node_first[node]; j < idn->node_first[node + 1]; j++) {
            if (j == add || idn->items[j].pinned || hosted[j] < 0.5)
                continue;
            bool taken = false;
            for (uint32_t d = 0; d < several.drop_count && !taken; d++)
                taken = several.drops[d] == j;
            if (!taken &&
                (least == ES_INDEX_NONE || repair->loss[j] * idn->items[least].size_bytes <
                                               repair->loss[least] * idn->items[j].size_bytes))
                least = j;
        }
        if (least == ES_INDEX_NONE)
            return;
        several.drops[several.drop_count++] = least;
        several.saved -= repair->loss[least];
        need -= idn->items[least].size_bytes;
    }
    if (need <= 0 && several.saved > best->saved)
        *best = several;
}

static void apply(es_repair *repair, const es_idn_load *load, const move *chosen, double *hosted)
{
    hosted[chosen->add] += 1;
    for (uint32_t d = 0; d < chosen->drop_count; d++)
        hosted[chosen->drops[d]] -= 1;
    refresh_now(repair, load, chosen->add, hosted);
    for (uint32_t d = 0; d < chosen->drop_count; d++)
        refresh_now(repair, load, chosen->drops[d], hosted);
}

static double total_now(const es_repair *repair)
{
    double sum = 0;
    for (uint32_t t = 0; t < repair->idn->type_count; t++)
        sum += repair->now[t];
    return sum;
}

static void undo(es_repair *repair, const es_idn_load *load, const move *chosen, double *hosted)
{
    hosted[chosen->add] -= 1;
    for (uint32_t d = 0; d < chosen->drop_count; d++)
        hosted[chosen->drops[d]] += 1;
    refresh_now(repair, load, chosen->add, hosted);
    for (uint32_t d = 0; d < chosen->drop_count; d++)
        refresh_now(repair, load, chosen->drops[d], hosted);
}

/* Weighs again what shares a type with the items of a move. */
static void weigh_around(es_repair *repair, const es_idn_load *load, uint32_t node,
                         const move *made, double least, double *hosted)
{
    const es_idn *idn = repair->idn;
    for (int on = 1; on >= 0; on--) {
        for (uint32_t d = 0; d <= made->drop_count; d++) {
            uint32_t item = d < made->drop_count ? made->drops[d] : made->add;
            for (uint32_t u = idn->use_first[item]; u < idn->use_first[item + 1]; u++)
                repair->marked[idn->use_types[u]] = on;
        }
        for (uint32_t i = idn->node_first[node]; on && i < idn->node_first[node + 1]; i++) {
            bool near = false;
            for (uint32_t u = idn->use_first[i]; u < idn->use_first[i + 1] && !near; u++)
                near = repair->marked[idn->use_types[u]];
            if (near) {
                for (uint32_t d = 0; d < made->drop_count; d++)
                    repair->bound[i] += repair->loss[made->drops[d]];
                weigh(repair, load, i, least, hosted);
            }
        }
    }
}

static double repair_node(es_repair *repair, const es_idn_load *load, uint32_t node, double *hosted,
                          double least, double move_bytes)
{
    const es_idn *idn = repair->idn;
    uint32_t first = idn->node_first[node];
    uint32_t end = idn->node_first[node + 1];
    double room = idn->budget_bytes[node];
    double moved = 0;
    for (uint32_t i = first; i < end; i++)
        room -= hosted[i] * idn->items[i].size_bytes;
    for (uint32_t i = first; i < end; i++)
        weigh(repair, load, i, least, hosted);
    for (uint32_t round = 0; round < 4 * (end - first); round++) {
        move best = {.saved = least, .add = ES_INDEX_NONE};
        for (uint32_t i = first; i < end; i++)
            if (repair->worth[i] > best.saved && idn->items[i].size_bytes <= move_bytes - moved)
                make_room(repair, load, node, room, &best, i, hosted);
        if (best.add == ES_INDEX_NONE)
            break;
        double before = total_now(repair);
        apply(repair, load, &best, hosted);
        if (total_now(repair) > before - least) {
            undo(repair, load, &best, hosted);
            break;
        }
        room -= idn->items[best.add].size_bytes;
        moved += idn->items[best.add].size_bytes;
        for (uint32_t d = 0; d < best.drop_count; d++)
            room += idn->items[best.drops[d]].size_bytes;
        weigh_around(repair, load, node, &best, least, hosted);
    }
    return moved;
}

/* Takes a node of the proposal whole where that saves enough. */
static double try_proposal(es_repair *repair, const es_idn_load *load, uint32_t node,
                           double *hosted, const uint32_t *proposal, double least,
                           double move_bytes)
{
    const es_idn *idn = repair->idn;
    double brought = 0;
    bool same = true;
    for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++) {
        repair->kept[i] = (uint32_t)(hosted[i] + 0.5);
        same = same && repair->kept[i] == proposal[i];
        if (proposal[i] > repair->kept[i])
            brought += (proposal[i] - repair->kept[i]) * idn->items[i].size_bytes;
    }
    if (same || brought > move_bytes)
        return 0;
    double before = total_now(repair);
    for (int back = 0; back < 2; back++) {
        for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++)
            hosted[i] = back ? repair->kept[i] : proposal[i];
        for (uint32_t i = idn->node_first[node]; i < idn->node_first[node + 1]; i++)
            if (repair->kept[i] != proposal[i])
                refresh_now(repair, load, i, hosted);
        if (total_now(repair) < before - least)
            return brought;
    }
    return 0;
}

double es_repair_run(es_repair *repair, const es_idn_load *load, double *hosted,
                     const uint32_t *proposal, uint32_t from, uint32_t step, double least_share,
                     double move_bytes)
{
    const es_idn *idn = repair->idn;
    (void)es_idn_gradient(load, hosted, repair->bound);
    for (uint32_t t = 0; t < idn->type_count; t++)
        repair->now[t] = es_idn_type_cost(load, t, hosted);
    double least = fmax(total_now(repair) * least_share, 1e-12);
    double moved = 0;
    for (uint32_t v = from; v < idn->node_count; v += step) {
        if (isinf(idn->budget_bytes[v]))
            continue;
        if (proposal != NULL)
            moved += try_proposal(repair, load, v, hosted, proposal, least, move_bytes - moved);
        moved += repair_node(repair, load, v, hosted, least, move_bytes - moved);
    }
    return moved;
}
