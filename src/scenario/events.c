/* The section `events`: what event mode knows of nodes and links beyond the plan. */
#include "scenario/internal.h"

#include <math.h>

es_node_events es_node_events_default(void)
{
    return (es_node_events){.queue_max = UINT32_MAX,
                            .batch_max = 1,
                            .battery_j = (double)INFINITY,
                            .sleep_after_s = (double)INFINITY};
}
