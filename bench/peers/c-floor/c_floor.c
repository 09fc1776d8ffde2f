/* A gRPC echo on libuv and nghttp2 alone: what the design of Micro's core can't go below as long as
 * it has that engine.
 *
 *     c-floor serve [--port P] [--address IP] [--codec bytes] [--loops N]
 *     c-floor version
 *
 * "/echo.Echo/Unary" answers with the body of the request when that has ended, "/echo.Echo/Chat"
 * with each piece of it at once: the frames of gRPC messages are echoed as they are. A loop reads
 * up to 64 KiB at a time, and writes once per connection and turn. The first loop accepts, and
 * deals connections out in turn. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum {
    LOOPS_MAX = 64,
    READ_BYTES = 64 << 10,
    FRAME_BYTES_MAX = 9 + (16 << 10),
    WRITE_BYTES = 256 << 10,
    BODY_BYTES_MAX = 16 << 20,
    BODY_BYTES_KEPT = 64 << 10, /* by a stream that waits to be used again */
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 16 << 20,
    STREAMS_MAX = 1000
};

enum { UNKNOWN, UNARY, CHAT };

typedef struct stream {
    struct stream *next; /* of its connection's, or of the free ones */
    struct stream **link;
    uint8_t *body; /* what is not echoed yet is [start, end) */
    size_t start, end, capacity;
    uint8_t kind, request_ended, deferred;
} stream;

typedef struct connection {
    uv_tcp_t tcp;
    struct loop *loop;
    nghttp2_session *session;
    struct connection *next_dirty;
    stream *streams;
    uint8_t dirty, writing, closing;
} connection;

typedef struct loop {
    uv_loop_t uv;
    uv_check_t check; /* behind the reads of a turn */
    uv_poll_t inbox_poll;
    int inbox[2]; /* a pipe of accepted descriptors */
    connection *dirty;
    stream *free_streams;
    uint8_t read_buffer[READ_BYTES], write_buffer[WRITE_BYTES];
} loop;

typedef struct remainder {
    uv_write_t request;
    uint8_t bytes[];
} remainder;

static loop *loops[LOOPS_MAX];
static int loop_count = 1;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

static void die(const char *what, const char *why) {
    fprintf(stderr, "c-floor: %s: %s\n", what, why);
    exit(1);
}

static void check(const char *what, int status) {
    if (status < 0) die(what, uv_strerror(status));
}

static void *allocate(void *block, size_t bytes) {
    void *result = realloc(block, bytes);
    if (!result) die("memory", "none left");
    return result;
}

/* ---- Streams ---- */

static stream *take_stream(connection *c) {
    stream *s = c->loop->free_streams;
    if (s)
        c->loop->free_streams = s->next;
    else
        s = memset(allocate(NULL, sizeof *s), 0, sizeof *s);
    s->start = s->end = 0;
    s->kind = UNKNOWN;
    s->request_ended = s->deferred = 0;
    s->next = c->streams;
    s->link = &c->streams;
    if (s->next) s->next->link = &s->next;
    c->streams = s;
    return s;
}

static void put_stream(connection *c, stream *s) {
    if (s->capacity > BODY_BYTES_KEPT) {
        free(s->body);
        s->body = NULL;
        s->capacity = 0;
    }
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    s->next = c->loop->free_streams;
    c->loop->free_streams = s;
}

/* ---- Writing ---- */

static void touch(connection *c) {
    if (c->dirty) return;
    c->dirty = 1;
    c->next_dirty = c->loop->dirty;
    c->loop->dirty = c;
}

static void on_closed(uv_handle_t *handle) { free(handle->data); }

/* Frees it in a later turn: it may stand in the list of dirty ones. */
static void close_connection(connection *c) {
    if (c->closing) return;
    c->closing = 1;
    nghttp2_session_del(c->session);
    while (c->streams) put_stream(c, c->streams);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_written(uv_write_t *request, int status) {
    connection *c = request->handle->data;
    free(request->data);
    c->writing = 0;
    if (c->closing) return;
    if (status < 0)
        close_connection(c);
    else
        touch(c);
}

static void write_out(connection *c, const uint8_t *bytes, size_t len) {
    uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)len);
    int written = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    if (written < 0 && written != UV_EAGAIN) {
        close_connection(c);
        return;
    }
    size_t done = written < 0 ? 0 : (size_t)written;
    if (done == len) return;
    remainder *rest = allocate(NULL, sizeof *rest + len - done);
    memcpy(rest->bytes, bytes + done, len - done);
    rest->request.data = rest;
    buf = uv_buf_init((char *)rest->bytes, (unsigned)(len - done));
    check("write", uv_write(&rest->request, (uv_stream_t *)&c->tcp, &buf, 1, on_written));
    c->writing = 1;
}

static void flush(connection *c) {
    uint8_t *out = c->loop->write_buffer;
    size_t len;
    do {
        const uint8_t *frame;
        ssize_t n = 0;
        len = 0;
        while (len <= WRITE_BYTES - FRAME_BYTES_MAX &&
               (n = nghttp2_session_mem_send(c->session, &frame)) > 0) {
            memcpy(out + len, frame, (size_t)n);
            len += (size_t)n;
        }
        if (len > 0) write_out(c, out, len);
        if (n < 0) close_connection(c);
    } while (len > WRITE_BYTES - FRAME_BYTES_MAX && !c->writing && !c->closing);
    if (!c->closing && !c->writing && !nghttp2_session_want_read(c->session) &&
        !nghttp2_session_want_write(c->session))
        close_connection(c);
}

static void on_turn(uv_check_t *handle) {
    loop *l = handle->data;
    while (l->dirty) {
        connection *c = l->dirty;
        l->dirty = c->next_dirty;
        c->dirty = 0;
        if (!c->closing && !c->writing) flush(c);
    }
}

/* ---- HTTP/2 ---- */

#define FIELD(name, value)                                                                         \
    {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1,                   \
     NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE}

static const nghttp2_nv head[] = {
    FIELD(":status", "200"), FIELD("content-type", "application/grpc"), FIELD("grpc-status", "12")};
static const nghttp2_nv trailers[] = {FIELD("grpc-status", "0")};

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)user;
    stream *s = source->ptr;
    size_t len = s->end - s->start;
    if (len == 0 && !s->request_ended) {
        s->deferred = 1;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (len > room) len = room;
    memcpy(out, s->body + s->start, len);
    s->start += len;
    if (s->start == s->end) {
        s->start = s->end = 0;
        if (s->request_ended) {
            *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (nghttp2_submit_trailer(session, id, trailers, 1)) return NGHTTP2_ERR_NOMEM;
        }
    }
    return (ssize_t)len;
}

static int respond(nghttp2_session *session, int32_t id, stream *s) {
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = read_body};
    return nghttp2_submit_response(session, id, head, 2, &body);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    connection *c = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, take_stream(c));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
    (void)flags, (void)user;
    if (name_len != 5 || memcmp(name, ":path", 5) != 0) return 0;
    stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (value_len == 16 && memcmp(value, "/echo.Echo/Unary", 16) == 0) s->kind = UNARY;
    if (value_len == 15 && memcmp(value, "/echo.Echo/Chat", 15) == 0) s->kind = CHAT;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    int32_t id = frame->hd.stream_id;
    stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (!s) return 0;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        s->request_ended = 1;
        if (s->kind == UNARY) return respond(session, id, s);
    }
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        if (s->kind == CHAT) return respond(session, id, s);
        if (s->kind == UNKNOWN) return nghttp2_submit_response(session, id, head, 3, NULL);
    }
    if (s->deferred) {
        s->deferred = 0;
        return nghttp2_session_resume_data(session, id);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user) {
    (void)flags, (void)user;
    stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (!s || s->kind == UNKNOWN) return 0;
    if (s->end + len > s->capacity) {
        if (s->end + len > BODY_BYTES_MAX)
            return nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_ENHANCE_YOUR_CALM);
        s->capacity = 2 * (s->end + len);
        s->body = allocate(s->body, s->capacity);
    }
    memcpy(s->body + s->end, data, len);
    s->end += len;
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user) {
    (void)error;
    stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s) put_stream(user, s);
    return 0;
}

static void prepare_nghttp2(void) {
    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&options))
        die("nghttp2", "no memory");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_no_closed_streams(options, 1);
}

/* ---- Connections ---- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    (void)suggested;
    connection *c = handle->data;
    *out = uv_buf_init((char *)c->loop->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *handle, ssize_t len, const uv_buf_t *buf) {
    connection *c = handle->data;
    if (len == 0 || c->closing) return;
    if (len < 0 ||
        nghttp2_session_mem_recv(c->session, (const uint8_t *)buf->base, (size_t)len) < 0)
        close_connection(c);
    else
        touch(c);
}

static void open_connection(loop *l, int fd) {
    connection *c = memset(allocate(NULL, sizeof *c), 0, sizeof *c);
    c->loop = l;
    c->tcp.data = c;
    check("connection", uv_tcp_init(&l->uv, &c->tcp));
    check("connection", uv_tcp_open(&c->tcp, fd));
    uv_tcp_nodelay(&c->tcp, 1);
    if (nghttp2_session_server_new2(&c->session, callbacks, c, options))
        die("nghttp2", "no memory");
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    nghttp2_submit_settings(c->session, 0, settings, 2);
    nghttp2_session_set_local_window_size(c->session, 0, 0, CONNECTION_WINDOW);
    check("read", uv_read_start((uv_stream_t *)&c->tcp, on_allocate, on_read));
    touch(c);
}

static void on_inbox(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    loop *l = handle->data;
    int fds[64];
    ssize_t n = read(l->inbox[0], fds, sizeof fds);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof fds[0]; i++) open_connection(l, fds[i]);
}

static void on_acceptable(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    static int next;
    int listener = (int)(intptr_t)handle->data;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        loop *l = loops[next++ % loop_count];
        if (write(l->inbox[1], &fd, sizeof fd) != sizeof fd) close(fd);
    }
}

static void open_loop(int index) {
    loop *l = memset(allocate(NULL, sizeof *l), 0, sizeof *l);
    loops[index] = l;
    check("loop", uv_loop_init(&l->uv));
    l->check.data = l->inbox_poll.data = l;
    if (pipe2(l->inbox, O_NONBLOCK | O_CLOEXEC)) die("pipe", strerror(errno));
    check("pipe", uv_poll_init(&l->uv, &l->inbox_poll, l->inbox[0]));
    check("pipe", uv_poll_start(&l->inbox_poll, UV_READABLE, on_inbox));
    check("check", uv_check_init(&l->uv, &l->check));
    check("check", uv_check_start(&l->check, on_turn));
}

static void *run(void *l) {
    uv_run(&((loop *)l)->uv, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- The program ---- */

static int listen_on(const char *address, int port, int *out_port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof at;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) die(address, "not an IPv4 address");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&at, &len))
        die("listen", strerror(errno));
    *out_port = ntohs(at.sin_port);
    return fd;
}

static void usage(const char *option, const char *value) {
    fprintf(stderr, "c-floor: %s %s is not supported\n", option, value);
    exit(2);
}

static void on_terminate(int number) {
    (void)number;
    _exit(0);
}

static void serve(const char *address, int port) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_terminate);
    prepare_nghttp2();
    for (int i = 0; i < loop_count; i++) open_loop(i);
    int listener = listen_on(address, port, &port);
    uv_poll_t acceptor = {.data = (void *)(intptr_t)listener};
    check("listen", uv_poll_init(&loops[0]->uv, &acceptor, listener));
    check("listen", uv_poll_start(&acceptor, UV_READABLE, on_acceptable));
    printf("ready %d\n", port);
    fflush(stdout);
    pthread_t thread;
    for (int i = 1; i < loop_count; i++)
        if (pthread_create(&thread, NULL, run, loops[i])) die("thread", "cannot be started");
    run(loops[0]);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        printf("libuv %s, nghttp2 %s\n", uv_version_string(), nghttp2_version(0)->version_str);
        return 0;
    }
    if (argc < 2 || strcmp(argv[1], "serve") != 0) usage("command", argc < 2 ? "''" : argv[1]);
    const char *address = "127.0.0.1";
    int port = 0, option;
    static const struct option names[] = {{"port", 1, NULL, 'p'},
                                          {"address", 1, NULL, 'a'},
                                          {"codec", 1, NULL, 'c'},
                                          {"loops", 1, NULL, 'l'},
                                          {0}};
    optind = 2;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'p') port = atoi(optarg);
        if (option == 'a') address = optarg;
        if (option == 'c' && strcmp(optarg, "bytes") != 0) usage("--codec", optarg);
        if (option == 'l') loop_count = atoi(optarg);
        if (option == '?') return 2; /* getopt has named it */
    }
    if (optind < argc) usage("argument", argv[optind]);
    if (loop_count < 1 || loop_count > LOOPS_MAX) usage("--loops", "outside of 1...64");
    serve(address, port);
    return 0;
}
