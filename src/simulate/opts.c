#include "simulate/simulate.h"

es_simulate_opts es_simulate_opts_default(void) { return (es_simulate_opts){.label = "plan"}; }
