#include "base/clock.h"
#include "choose.h"

#include <assert.h>

es_serve_budget es_serve_budget_make(double share, double rate, double burst, int64_t now_ns)
{
    assert(share >= 0);
    assert(rate >= 0);
    assert(burst >= 0);
    return (es_serve_budget){
        .share = share, .rate = rate, .burst = burst, .saved = burst, .at_ns = now_ns};
}

static void add(es_serve_budget *budget, double more)
{
    budget->saved = budget->saved + more < budget->burst ? budget->saved + more : budget->burst;
}

static void pass_time(es_serve_budget *budget, int64_t now_ns)
{
    if (now_ns <= budget->at_ns)
        return;
    add(budget, budget->rate * es_s_from_ns(now_ns - budget->at_ns));
    budget->at_ns = now_ns;
}

void es_serve_budget_earn(es_serve_budget *budget, int64_t now_ns)
{
    pass_time(budget, now_ns);
    add(budget, budget->share);
}

bool es_serve_budget_take(es_serve_budget *budget, int64_t now_ns)
{
    pass_time(budget, now_ns);
    if (budget->saved < 1)
        return false;
    budget->saved -= 1;
    return true;
}
