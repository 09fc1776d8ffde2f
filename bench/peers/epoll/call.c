#include "epoll_echo.h"
#include "measure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A message is its number and a filling. The answers come in the order of the messages. */
typedef struct connection {
    int fd;
    uint64_t sent, answered;
    uint64_t *sent_ns; /* of message n at n % in_flight */
    uint8_t *in, *out;
    size_t in_len, out_len; /* a part of a message; what is not written yet */
    int watches_writable;
} connection;

typedef struct client {
    const call_options *options;
    int epoll;
    measure_window window;
    measure results;
    int over;
} client;

static void write_out(client *cl, connection *c) {
    ssize_t written = write(c->fd, c->out, c->out_len);
    if (written < 0 && errno != EAGAIN) epoll_die("write");
    if (written > 0) {
        c->out_len -= (size_t)written;
        memmove(c->out, c->out + written, c->out_len);
    }
    int unwritten = c->out_len > 0;
    if (unwritten != c->watches_writable)
        epoll_watch(cl->epoll, EPOLL_CTL_MOD, c->fd, c, unwritten);
    c->watches_writable = unwritten;
}

static void send_messages(client *cl, connection *c, uint64_t now_ns) {
    size_t size = cl->options->size;
    while (c->sent - c->answered < cl->options->in_flight) {
        uint8_t *message = c->out + c->out_len;
        memcpy(message, &c->sent, sizeof c->sent);
        memset(message + sizeof c->sent, 'x', size - sizeof c->sent);
        c->sent_ns[c->sent++ % cl->options->in_flight] = now_ns;
        c->out_len += size;
    }
    if (c->out_len > 0) write_out(cl, c);
}

static int is_answer(const uint8_t *message, size_t size, uint64_t number) {
    return memcmp(message, &number, sizeof number) == 0 &&
           (size == sizeof number || message[size - 1] == 'x');
}

static void receive(client *cl, connection *c) {
    size_t size = cl->options->size, at = 0;
    ssize_t len = read(c->fd, c->in + c->in_len, EPOLL_READ_BYTES);
    if (len < 0 && errno == EAGAIN) return;
    if (len == 0) errno = ECONNRESET;
    if (len <= 0) epoll_die("read");
    c->in_len += (size_t)len;
    uint64_t now_ns = measure_now_ns();
    int counts = measure_window_is_open(&cl->window, now_ns, &cl->over);
    for (; at + size <= c->in_len; at += size) {
        uint64_t sent_ns = c->sent_ns[c->answered % cl->options->in_flight];
        if (!is_answer(c->in + at, size, c->answered))
            cl->results.failures++;
        else if (counts)
            measure_record(&cl->results, now_ns - sent_ns);
        c->answered++;
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
    send_messages(cl, c, now_ns);
}

static void open_connection(client *cl) {
    const call_options *o = cl->options;
    connection *c = epoll_allocate(sizeof *c);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)o->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at)) epoll_die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    *c = (connection){.fd = fd,
                      .sent_ns = epoll_allocate(o->in_flight * sizeof *c->sent_ns),
                      .in = epoll_allocate(EPOLL_READ_BYTES + o->size),
                      .out = epoll_allocate(o->in_flight * o->size)};
    epoll_watch(cl->epoll, EPOLL_CTL_ADD, fd, c, 0);
    send_messages(cl, c, measure_now_ns());
}

int epoll_call(const call_options *options) {
    static client cl;
    cl.options = options;
    if ((cl.epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) epoll_die("epoll");
    for (uint32_t i = 0; i < options->connections; i++) open_connection(&cl);
    cl.window = measure_window_of(options->warmup, options->seconds);
    while (!cl.over) {
        struct epoll_event events[EPOLL_EVENTS];
        int n = epoll_wait(cl.epoll, events, EPOLL_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) write_out(&cl, c);
            if (events[i].events & ~(unsigned)EPOLLOUT) receive(&cl, c);
        }
    }
    printf("{");
    measure_print(stdout, &cl.results, &cl.window);
    printf("}\n");
    return cl.results.failures > 0 || cl.results.requests == 0;
}
