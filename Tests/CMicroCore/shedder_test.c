/* Load shedding in virtual time: a server that is offered more than it can do, of two kinds. One
 * runs handlers in the turns of a loop, so that what waits is in sockets; the other hands them to a
 * pool of workers. */
#include "limit/shedder.h"
#include "mcore/limiter.h"

#include "test.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define DELAY_MAX (100 * MS)
#define INTERVAL (500 * MS)

enum { QUEUE_MAX = 1 << 20 };

typedef struct phase {
    uint64_t until;
    double load; /* of what can be done */
} phase;

typedef struct model {
    uint64_t service, refusal; /* what serving and refusing cost */
    uint32_t workers;          /* 0: handlers run in turns */
    uint64_t deadline;         /* an answer that comes later is of no use */
    double part[MCORE__PRIORITIES];
    const phase *phases;
    uint32_t burst; /* arrive together */
} model;

typedef struct outcome {
    uint64_t offered[MCORE__PRIORITIES], good[MCORE__PRIORITIES], shed[MCORE__PRIORITIES];
    uint64_t late;
} outcome;

enum { SECONDS_MAX = 64 };

typedef struct arrival {
    uint64_t at;
    uint32_t priority;
} arrival;

typedef struct run {
    const model *model;
    mcore__shedder shedder;
    uint64_t random, next_at;
    uint32_t in_burst;
    uint64_t head, tail;
    outcome seconds[SECONDS_MAX];
} run;

static arrival queue[QUEUE_MAX];

static uint64_t draw(run *r) {
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = r->random ^ r->random >> 32;
    return x * 0x9e3779b97f4a7c15u >> 11;
}
static double fraction(run *r) { return ((double)(draw(r) & 0xffffffff) + 1) / 4294967297.0; }

/* The natural logarithm of 0 < x <= 1, with the sign turned: the times between random events. */
static double waiting(double x) {
    double sum = 0;
    for (; x < 0.5; x *= 2) sum += 0.6931471805599453;
    double t = (1 - x) / (1 + x), power = t;
    for (int k = 1; k < 20; k += 2, power *= t * t) sum += 2 * power / k;
    return sum;
}

static outcome *second_of(run *r, uint64_t at) { return &r->seconds[at / SECOND % SECONDS_MAX]; }

static double load_at(const run *r, uint64_t at) {
    const phase *p = r->model->phases;
    while (p->until && at >= p->until) p++;
    return p->until ? p->load : 0;
}

/* When the next request comes, by a Poisson process; UINT64_MAX: never. */
static void plan_arrival(run *r) {
    const model *m = r->model;
    if (m->burst && r->in_burst) {
        r->in_burst--;
        return;
    }
    double load = load_at(r, r->next_at);
    if (load <= 0) {
        r->next_at = UINT64_MAX;
        return;
    }
    double capacity = (double)(m->workers ? m->workers : 1) / (double)m->service;
    double mean = 1 / (capacity * load);
    if (m->burst) {
        mean *= m->burst;
        r->in_burst = m->burst - 1;
    }
    r->next_at += (uint64_t)(waiting(fraction(r)) * mean) + 1;
}

static void arrive_until(run *r, uint64_t now) {
    while (r->next_at <= now) {
        double x = fraction(r);
        uint32_t priority = x < r->model->part[0]                       ? 0
                            : x < r->model->part[0] + r->model->part[1] ? 1
                                                                        : 2;
        CHECK(r->tail - r->head < QUEUE_MAX);
        queue[r->tail++ % QUEUE_MAX] = (arrival){r->next_at, priority};
        second_of(r, r->next_at)->offered[priority]++;
        plan_arrival(r);
    }
}

static void done(run *r, const arrival *a, uint64_t now) {
    outcome *o = second_of(r, a->at);
    if (now - a->at <= r->model->deadline)
        o->good[a->priority]++;
    else
        o->late++;
}

/* Its caller has gone: the server sees to that without being asked. */
static int is_over(run *r, const arrival *a, uint64_t waited) {
    if (waited <= r->model->deadline) return 0;
    second_of(r, a->at)->late++;
    return 1;
}

static void shed(run *r, const arrival *a) { second_of(r, a->at)->shed[a->priority]++; }

static uint64_t service_of(run *r) {
    return (uint64_t)(waiting(fraction(r)) * (double)r->model->service) + 1;
}

/* As a server does it whose handlers run in place: each turn takes what has come before it. */
static void run_turns(run *r) {
    uint64_t now = r->next_at, lag = 0;
    while (r->next_at != UINT64_MAX || r->head != r->tail) {
        if (r->head == r->tail && r->next_at > now) {
            now = r->next_at;
            lag = 0;
        }
        arrive_until(r, now);
        uint64_t turn = now, batch = r->tail - r->head;
        for (uint64_t i = 0; i < batch; i++) {
            arrival a = queue[r->head++ % QUEUE_MAX];
            uint64_t age = now - turn;
            if (i % 8 == 0) mcore__shedder_note(&r->shedder, now, age > lag ? age : lag);
            if (is_over(r, &a, age)) {
                now += r->model->refusal;
            } else if (mcore__shedder_admit(&r->shedder, now, a.priority, age, draw(r))) {
                mcore__shedder_begun(&r->shedder, 1);
                now += service_of(r);
                done(r, &a, now);
            } else {
                now += r->model->refusal;
                shed(r, &a);
            }
        }
        now += 20 * US;
        lag = now - turn;
    }
}

/* As a server does it whose handlers wait for a worker. */
static void run_pool(run *r) {
    uint64_t free_at[64] = {0};
    uint64_t first = 0; /* of those that were admitted, by number */
    static arrival admitted[QUEUE_MAX];
    uint64_t last = 0;
    while (r->next_at != UINT64_MAX || first != last) {
        uint32_t worker = 0;
        for (uint32_t i = 1; i < r->model->workers; i++)
            if (free_at[i] < free_at[worker]) worker = i;
        uint64_t now = r->next_at;
        int begins = first != last;
        if (begins) {
            arrival *a = &admitted[first % QUEUE_MAX];
            uint64_t at = free_at[worker] > a->at ? free_at[worker] : a->at;
            if (at <= now)
                now = at;
            else
                begins = 0;
        }
        if (begins) {
            arrival a = admitted[first++ % QUEUE_MAX];
            mcore__shedder_note(&r->shedder, now, now - a.at);
            if (is_over(r, &a, now - a.at)) continue;
            mcore__shedder_begun(&r->shedder, 1);
            free_at[worker] = now + service_of(r);
            done(r, &a, free_at[worker]);
            continue;
        }
        arrive_until(r, now);
        while (r->head != r->tail) {
            arrival a = queue[r->head++ % QUEUE_MAX];
            if (mcore__shedder_admit(&r->shedder, a.at, a.priority, 0, draw(r)))
                admitted[last++ % QUEUE_MAX] = a;
            else
                shed(r, &a);
        }
    }
}

static run *simulated(const model *m, uint64_t seed) {
    static run r;
    memset(&r, 0, sizeof r);
    r.model = m;
    r.random = seed;
    mcore__shedder_init(&r.shedder, DELAY_MAX, INTERVAL);
    r.next_at = 1;
    plan_arrival(&r);
    if (m->workers)
        run_pool(&r);
    else
        run_turns(&r);
    return &r;
}

static outcome sum_of(const run *r, uint32_t from, uint32_t to) {
    outcome sum = {.late = 0};
    for (uint32_t s = from; s < to; s++) {
        for (int i = 0; i < MCORE__PRIORITIES; i++) {
            sum.offered[i] += r->seconds[s].offered[i];
            sum.good[i] += r->seconds[s].good[i];
            sum.shed[i] += r->seconds[s].shed[i];
        }
        sum.late += r->seconds[s].late;
    }
    return sum;
}
static uint64_t all(const uint64_t by_priority[MCORE__PRIORITIES]) {
    return by_priority[0] + by_priority[1] + by_priority[2];
}

/* Answers in time, of what can be done in so many seconds. */
static double goodput(const run *r, uint32_t from, uint32_t to) {
    double capacity = (double)(r->model->workers ? r->model->workers : 1) * (double)SECOND /
                      (double)r->model->service * (to - from);
    outcome sum = sum_of(r, from, to);
    return (double)all(sum.good) / capacity;
}

static const phase overload[] = {{5 * SECOND, 0.5}, {25 * SECOND, 3}, {35 * SECOND, 0.5}, {0, 0}};
static const phase high[] = {{60 * SECOND, 0.8}, {0, 0}};

static void check_overload(model m, const char *name) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        m.phases = overload;
        run *r = simulated(&m, seed);
        double good = goodput(r, 5, 25), before = goodput(r, 1, 5), after = goodput(r, 30, 35);
        outcome calm = sum_of(r, 0, 5), recovered = sum_of(r, 30, 35);
        printf("%s: goodput %.1f %% of capacity under 3x, %.1f before, %.1f after\n", name,
               100 * good, 100 * before, 100 * after);
        CHECK(good >= 0.90);
        CHECK_INT(all(calm.shed), 0);
        /* Within 5 s it is as if nothing had been. */
        CHECK_INT(all(recovered.shed), 0);
        CHECK_INT(recovered.late, 0);
        CHECK_INT(all(recovered.good), all(recovered.offered));
    }
}

TEST(overload_of_handlers_in_place) {
    check_overload(
        (model){.service = 100 * US, .refusal = 2 * US, .deadline = SECOND, .part = {0, 1, 0}},
        "in place, 100 us");
    check_overload(
        (model){.service = 1 * MS, .refusal = 2 * US, .deadline = SECOND, .part = {0, 1, 0}},
        "in place, 1 ms");
}

TEST(overload_of_a_pool) {
    check_overload(
        (model){.service = 500 * US, .workers = 2, .deadline = SECOND, .part = {0, 1, 0}},
        "pool of 2, 500 us");
    check_overload((model){.service = 5 * MS, .workers = 16, .deadline = SECOND, .part = {0, 1, 0}},
                   "pool of 16, 5 ms");
}

TEST(lower_priorities_are_shed_first) {
    const uint32_t workers[] = {0, 2};
    for (int i = 0; i < 2; i++) {
        /* Critical 0.3, normal 0.6, and the rest of three times the capacity. */
        model m = {.service = 500 * US,
                   .refusal = 2 * US,
                   .workers = workers[i],
                   .deadline = SECOND,
                   .part = {0.1, 0.2, 0.7},
                   .phases = overload};
        run *r = simulated(&m, 7);
        outcome sum = sum_of(r, 7, 25);
        printf("%s: served critical %.2f %%, normal %.2f %%, sheddable %.2f %%\n",
               workers[i] ? "pool" : "in place",
               100.0 * (double)sum.good[0] / (double)sum.offered[0],
               100.0 * (double)sum.good[1] / (double)sum.offered[1],
               100.0 * (double)sum.good[2] / (double)sum.offered[2]);
        CHECK(sum.good[0] >= sum.offered[0] * 999 / 1000);
        CHECK(sum.good[1] >= sum.offered[1] * 95 / 100);
        CHECK(sum.good[2] <= sum.offered[2] * 15 / 100);
        CHECK(goodput(r, 5, 25) >= 0.9);
    }
}

TEST(nothing_is_shed_at_80_percent) {
    const model models[] = {
        {.service = 100 * US, .refusal = 2 * US, .deadline = SECOND, .part = {.1, .8, .1}},
        {.service = 3 * MS, .refusal = 2 * US, .deadline = SECOND, .part = {.1, .8, .1}},
        /* Each burst is 2 ms of work. */
        {.service = 100 * US,
         .refusal = 2 * US,
         .deadline = SECOND,
         .part = {0, 1, 0},
         .burst = 20},
        {.service = 2 * MS, .workers = 2, .deadline = SECOND, .part = {.1, .8, .1}},
        {.service = 10 * MS, .workers = 16, .deadline = SECOND, .part = {.1, .8, .1}},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            model m = models[i];
            m.phases = high;
            run *r = simulated(&m, seed);
            outcome sum = sum_of(r, 0, 60);
            CHECK(all(sum.offered) > 1000);
            CHECK_INT(all(sum.shed), 0);
        }
    }
}

TEST(one_long_handler_is_no_overload) {
    mcore__shedder shedder;
    mcore__shedder_init(&shedder, DELAY_MAX, INTERVAL);
    uint64_t now = SECOND;
    for (int i = 0; i < 1000; i++) {
        mcore__shedder_note(&shedder, now, i % 100 == 99 ? 3 * SECOND : MS);
        now += i % 100 == 99 ? 3 * SECOND : 10 * MS;
        CHECK(!shedder.overloaded);
    }
}

TEST(a_silence_is_no_long_wait) {
    mcore__shedder shedder;
    mcore__shedder_init(&shedder, DELAY_MAX, INTERVAL);
    for (uint64_t now = SECOND; now < 100 * SECOND; now += 2 * SECOND) {
        mcore__shedder_note(&shedder, now, 2 * DELAY_MAX);
        CHECK(!shedder.overloaded);
    }
    mcore__shedder_init(&shedder, 0, INTERVAL);
    for (uint64_t now = SECOND; now < 3 * SECOND; now += 10 * MS)
        mcore__shedder_note(&shedder, now, 9 * DELAY_MAX);
    CHECK(!shedder.overloaded);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
