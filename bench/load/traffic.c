#include "load.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { IDLE_OPENING_MAX = 64, TICK_MS = 10 };

static call *free_calls;
static uv_timer_t tick;

/* Calls that start when their time has come, whatever became of those before them. */
static struct {
    uv_poll_t timer;
    int fd;
    uint64_t begin_ns, started;
    uint32_t turn; /* whose turn it is to take one */
} pacing;

static struct {
    uv_async_t closed;
    pthread_t reader;
} input; /* what an idle run holds its connections for */

int traffic_is_conversation(void) { return the_load.options.kind == KIND_CHAT; }

static void fail(lane *l, uint64_t calls, const char *why, long number) {
    static int said;
    if (calls && !said++) fprintf(stderr, "load: %s (%ld)\n", why, number);
    l->results.failures += calls;
}

/* ---- Starting ---- */

static void start(connection *c, lane *l, uint64_t start_ns) {
    call *new = free_calls;
    if (new)
        free_calls = new->next_free;
    else
        new = load_allocate(sizeof *new);
    *new = (call){.connection = c,
                  .lane = l,
                  .start_ns = start_ns,
                  .answer = {.http_status = -1, .grpc_status = -1}};
    c->in_flight[l - the_load.lanes]++;
    the_load.in_flight++;
    session_request(new);
}

static uint64_t due_ns(uint64_t number) {
    return pacing.begin_ns + (uint64_t)((double)number * 1e9 / the_load.options.rate);
}

/* The next connection that may take another call of the first lane. */
static connection *next_free(void) {
    const load_options *o = &the_load.options;
    for (uint32_t i = 0; i < o->connections; i++) {
        connection *c = &the_load.connections[pacing.turn++ % o->connections];
        if (c->state == OPEN && c->in_flight[0] < o->streams[0]) return c;
    }
    return NULL;
}

/* Starts what is due. What finds no room starts late, and its delay counts. */
static void start_due(uint64_t now_ns) {
    while (due_ns(pacing.started) <= now_ns) {
        connection *c = next_free();
        if (!c) return; /* until a call has ended */
        start(c, &the_load.lanes[0], due_ns(pacing.started++));
    }
    uint64_t at = due_ns(pacing.started);
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};
    if (timerfd_settime(pacing.fd, TFD_TIMER_ABSTIME, &when, NULL))
        load_die("timer", strerror(errno));
}

static void on_due(uv_poll_t *handle, int status, int events) {
    (void)handle, (void)status, (void)events;
    uint64_t times;
    if (read(pacing.fd, &times, sizeof times) == sizeof times) start_due(measure_now_ns());
}

static void begin_pacing(void) {
    pacing.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (pacing.fd < 0 || uv_poll_init(the_load.loop, &pacing.timer, pacing.fd) ||
        uv_poll_start(&pacing.timer, UV_READABLE, on_due))
        load_die("timer", "cannot be made");
    pacing.begin_ns = measure_now_ns();
    start_due(pacing.begin_ns);
}

/* ---- Connections ---- */

static void open_next(void) {
    the_load.connecting++;
    connection_open(&the_load.connections[the_load.opened++]);
}

/* Nothing that fails is tried again, and a run in which something failed is of no use. */
static void stop_when_nothing_is_left(void) {
    int is_idle = the_load.options.kind == KIND_IDLE;
    if (is_idle || (the_load.connecting == 0 && the_load.in_flight == 0)) uv_stop(the_load.loop);
}

void traffic_opened(connection *c) {
    const load_options *o = &the_load.options;
    uint64_t now_ns = measure_now_ns();
    c->was_opened = 1;
    the_load.connecting--;
    for (uint32_t i = 0; i < LANES; i++) {
        if (i == 0 && o->rate > 0) continue;
        for (uint32_t n = 0; n < the_load.lanes[i].streams; n++)
            start(c, &the_load.lanes[i], now_ns);
    }
    if (o->rate > 0 && the_load.connecting == 0) begin_pacing();
}

/* Its calls are never used again: a run does not go on for long without a connection. */
void traffic_lost(connection *c, const char *why) {
    uint64_t calls = 0;
    for (int i = 0; i < LANES; i++) {
        fail(&the_load.lanes[i], c->in_flight[i], why, c->in_flight[i]);
        calls += c->in_flight[i];
    }
    if (calls == 0) fail(&the_load.lanes[0], 1, why, 0);
    if (!c->was_opened) the_load.connecting--;
    the_load.in_flight -= calls;
    stop_when_nothing_is_left();
}

/* ---- Answers ---- */

/* A message of a stream has come. */
static void on_message(call *c) {
    lane *l = c->lane;
    c->answer.messages++;
    if (the_load.counts) l->messages++;
    if (!traffic_is_conversation()) return;
    if (the_load.counts) measure_record(&l->results, the_load.now_ns - c->start_ns);
    c->start_ns = the_load.now_ns;
    session_send_next(c);
}

static size_t length_in(const uint8_t prefix[5]) {
    return (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
}

static int is_right_length(size_t len) {
    return the_load.options.any_answer_size || len == the_load.options.answer_size;
}

/* Messages may begin and end anywhere in the pieces of a body. */
static void cut_messages(call *c, const uint8_t *data, size_t len) {
    answer *a = &c->answer;
    while (len > 0) {
        if (a->prefix_len < sizeof a->prefix) {
            a->prefix[a->prefix_len++] = *data++;
            len--;
            if (a->prefix_len < sizeof a->prefix) continue;
            a->missing = length_in(a->prefix);
            if (a->prefix[0] != 0 || !is_right_length(a->missing)) a->is_wrong = 1;
        }
        size_t part = a->missing < len ? a->missing : len;
        a->missing -= part;
        data += part;
        len -= part;
        if (a->missing > 0) return;
        a->prefix_len = 0;
        on_message(c);
    }
}

void traffic_data(call *c, const uint8_t *data, size_t len) {
    c->answer.bytes += len;
    if (the_load.is_grpc) cut_messages(c, data, len);
}

static int is_right(const answer *a, uint32_t error_code) {
    if (error_code != 0 || a->http_status != 200 || a->is_wrong) return 0;
    if (!the_load.is_grpc) return is_right_length(a->bytes);
    uint64_t wanted = the_load.options.kind == KIND_LIST ? the_load.options.messages : 1;
    return a->grpc_status == 0 && a->prefix_len == 0 && a->messages == wanted;
}

static void say_what_is_wrong(const call *c, uint32_t error_code) {
    const answer *a = &c->answer;
    lane *l = c->lane;
    if (error_code != 0)
        fail(l, 1, "a stream was reset, with this code", (long)error_code);
    else if (a->http_status != 200)
        fail(l, 1, "an answer has this HTTP status", a->http_status);
    else if (the_load.is_grpc && a->grpc_status != 0)
        fail(l, 1, "an answer has this status of gRPC", a->grpc_status);
    else
        fail(l, 1, "an answer is not of the length that was expected; bytes", (long)a->bytes);
}

static void hold(void) {
    const load_options *o = &the_load.options;
    if (++the_load.answered == o->connections) {
        printf("holding %u\n", o->connections);
        fflush(stdout);
    }
    if (the_load.opened < o->connections) open_next();
}

void traffic_ended(call *c, uint32_t error_code) {
    connection *on = c->connection;
    lane *l = c->lane;
    int failed = traffic_is_conversation() || !is_right(&c->answer, error_code);
    if (failed)
        say_what_is_wrong(c, error_code);
    else if (the_load.counts)
        measure_record(&l->results, the_load.now_ns - c->start_ns);
    on->in_flight[l - the_load.lanes]--;
    the_load.in_flight--;
    c->next_free = free_calls;
    free_calls = c;
    if (failed)
        stop_when_nothing_is_left();
    else if (the_load.options.kind == KIND_IDLE)
        hold();
    else if (the_load.options.rate > 0 && l == the_load.lanes)
        start_due(the_load.now_ns);
    else
        start(on, l, the_load.now_ns);
}

/* ---- The run ---- */

void traffic_tick(void) {
    int over = 0;
    the_load.counts = measure_window_is_open(&the_load.window, the_load.now_ns, &over);
    if (over) uv_stop(the_load.loop);
}

static void on_tick(uv_timer_t *timer) {
    (void)timer;
    the_load.now_ns = measure_now_ns();
    traffic_tick();
}

static void on_input_closed(uv_async_t *handle) {
    (void)handle;
    uv_stop(the_load.loop);
}

static void *read_input(void *unused) {
    (void)unused;
    char ignored[256];
    while (read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
    }
    uv_async_send(&input.closed);
    return NULL;
}

static void prepare_lane(lane *l, const char *path, uint32_t streams) {
    static char authority[64];
    const load_options *o = &the_load.options;
    snprintf(authority, sizeof authority, "%s:%d", o->address, o->port);
    const char *fields[FIELDS_MAX][2] = {
        {":method", "POST"}, {":scheme", o->tls ? "https" : "http"},
        {":path", path},     {":authority", authority},
        {"te", "trailers"},  {"content-type", o->content_type},
    };
    for (int i = 0; i < FIELDS_MAX; i++)
        l->fields[i] =
            (nghttp2_nv){.name = (uint8_t *)fields[i][0],
                         .value = (uint8_t *)fields[i][1],
                         .namelen = strlen(fields[i][0]),
                         .valuelen = strlen(fields[i][1]),
                         .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    l->field_count = FIELDS_MAX;
    l->streams = streams;
}

void traffic_prepare(void) {
    const load_options *o = &the_load.options;
    for (int i = 0; i < LANES; i++) prepare_lane(&the_load.lanes[i], o->paths[i], o->streams[i]);
    the_load.connections = load_allocate(o->connections * sizeof *the_load.connections);
    uv_timer_init(the_load.loop, &tick);
    uv_timer_start(&tick, on_tick, TICK_MS, TICK_MS);
    if (o->kind != KIND_IDLE) return;
    uv_async_init(the_load.loop, &input.closed, on_input_closed);
    if (pthread_create(&input.reader, NULL, read_input, NULL)) load_die("thread", "none");
}

void traffic_begin(void) {
    const load_options *o = &the_load.options;
    uint32_t at_once = o->connections;
    if (o->kind == KIND_IDLE && at_once > IDLE_OPENING_MAX) at_once = IDLE_OPENING_MAX;
    while (the_load.opened < at_once) open_next();
}
