#include "network/internal.h"

const char *const es_tier_names[ES_TIER_COUNT] = {"device", "edge", "network", "cloud"};
