#include "limit/shedder.h"

#include <string.h>

enum {
    FULL = 1 << 16,
    WINDOWS = 5,       /* of an interval */
    ARRIVALS_MIN = 20, /* of a window, or it is made longer, up to twice an interval */
    CALM_MIN = 3,
};

void mcore__shedder_init(mcore__shedder *shedder, uint64_t delay_max_ns, uint64_t interval_ns) {
    memset(shedder, 0, sizeof *shedder);
    shedder->delay_max_ns = delay_max_ns;
    shedder->interval_ns = interval_ns;
}

/* What waits are held at while requests are refused. */
static uint64_t aim_ns(const mcore__shedder *shedder) { return shedder->delay_max_ns / 4; }

static void begin_window(mcore__shedder *shedder, uint64_t now_ns) {
    shedder->window_began_ns = now_ns;
    shedder->delay_sum_ns = shedder->delays = 0;
    memset(shedder->arrived, 0, sizeof shedder->arrived);
    shedder->begun = 0;
}

static void note_rate(mcore__shedder *shedder, uint64_t now_ns) {
    uint64_t length = now_ns - shedder->window_began_ns;
    shedder->rates[shedder->window++ % MCORE__SHEDDER_WINDOWS] =
        length ? (double)shedder->begun / (double)length : 0;
}

static double best_rate(const mcore__shedder *shedder) {
    double best = 0;
    for (int i = 0; i < MCORE__SHEDDER_WINDOWS; i++)
        if (shedder->rates[i] > best) best = shedder->rates[i];
    return best;
}

/* Somebody has waited all the time since the interval began: what was begun in it is all that could
 * be. */
static void become_overloaded(mcore__shedder *shedder, uint64_t now_ns) {
    shedder->overloaded = 1;
    shedder->calm = 0;
    memset(shedder->rates, 0, sizeof shedder->rates);
    note_rate(shedder, now_ns);
    for (int i = 0; i < MCORE__PRIORITIES; i++) shedder->share[i] = FULL;
}

/* The end of an interval in which nothing was refused. */
static void judge(mcore__shedder *shedder, uint64_t now_ns) {
    /* After a silence there is nothing to judge. */
    int watched =
        shedder->interval_end_ns && now_ns - shedder->interval_end_ns < shedder->interval_ns;
    if (watched && shedder->delay_max_ns && shedder->shortest_ns > shedder->delay_max_ns)
        become_overloaded(shedder, now_ns);
    begin_window(shedder, now_ns);
}

void mcore__shedder_note(mcore__shedder *shedder, uint64_t now_ns, uint64_t delay_ns) {
    shedder->delay_sum_ns += delay_ns;
    shedder->delays++;
    if (delay_ns < shedder->shortest_ns) shedder->shortest_ns = delay_ns;
    if (now_ns < shedder->interval_end_ns) return;
    if (!shedder->overloaded) judge(shedder, now_ns);
    shedder->interval_end_ns = now_ns + shedder->interval_ns;
    shedder->shortest_ns = delay_ns;
}

void mcore__shedder_begun(mcore__shedder *shedder, uint32_t count) { shedder->begun += count; }

/* By how much more, or less, is to be begun than the best so far. */
static double change(const mcore__shedder *shedder) {
    uint64_t aim = aim_ns(shedder);
    uint64_t delay = shedder->delays ? shedder->delay_sum_ns / shedder->delays : 0;
    if (delay <= aim / 2) return 1.1;
    if (delay <= aim) return 1.02;
    /* What waits already is work for `delay`: it is to be done within an interval. */
    double less = (double)(delay - aim) / (double)shedder->interval_ns;
    return less > 0.9 ? 0.1 : 1 - less;
}

/* Gives what can be begun to the priorities, the highest first; that one does not wait until the
 * others, which came before, are done. Returns 1 when all get all. */
static int share_out(mcore__shedder *shedder, double most, double change) {
    int all = 1;
    double given = 0;
    for (int i = 0; i < MCORE__PRIORITIES; i++) {
        double wanted = shedder->arrived[i], room = (i ? most * change : most) - given;
        if (room < 1 - given) room = 1 - given; /* or it would not be known that there is more */
        double share = room <= 0 ? 0 : room >= wanted ? 1 : room / wanted;
        given += share * wanted;
        shedder->share[i] = (uint32_t)(share * FULL);
        all &= shedder->share[i] == FULL || !shedder->arrived[i];
    }
    return all;
}

static void end_window(mcore__shedder *shedder, uint64_t now_ns) {
    note_rate(shedder, now_ns);
    double most = best_rate(shedder) * (double)(now_ns - shedder->window_began_ns);
    shedder->calm = share_out(shedder, most, change(shedder)) ? shedder->calm + 1 : 0;
    if (shedder->calm == CALM_MIN) shedder->overloaded = 0;
    begin_window(shedder, now_ns);
}

static void look_at_window(mcore__shedder *shedder, uint64_t now_ns) {
    uint64_t length = now_ns - shedder->window_began_ns;
    if (length < shedder->interval_ns / WINDOWS) return;
    uint64_t arrived = 0;
    for (int i = 0; i < MCORE__PRIORITIES; i++) arrived += shedder->arrived[i];
    if (length >= 4 * shedder->interval_ns && arrived < ARRIVALS_MIN)
        shedder->overloaded = 0; /* hardly anybody comes any more */
    else if (arrived >= ARRIVALS_MIN || length >= 2 * shedder->interval_ns)
        end_window(shedder, now_ns);
}

int mcore__shedder_admit(mcore__shedder *shedder, uint64_t now_ns, uint32_t priority,
                         uint64_t age_ns, uint64_t random) {
    if (!shedder->overloaded) return 1;
    look_at_window(shedder, now_ns);
    shedder->arrived[priority]++;
    if ((random & (FULL - 1)) >= shedder->share[priority]) return 0;
    /* A bound for what the shares did not foresee, also of their first window. */
    static const uint64_t aims[MCORE__PRIORITIES] = {4, 3, 1};
    return age_ns <= aims[priority] * aim_ns(shedder);
}
