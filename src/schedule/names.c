#include "schedule/schedule.h"

const char *const es_budget_names[ES_BUDGET_COUNT] = {"energy", "carbon", "price"};
const char *const es_budget_units[ES_BUDGET_COUNT] = {"J", "g", "units"};
const char *const es_schedule_method_names[ES_SCHEDULE_METHOD_COUNT] = {
    "auto", "exact", "fractional", "approx", "edf", "edf-3", "best-fit", "fifo"};
