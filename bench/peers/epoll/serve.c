#include "epoll_echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LOOPS_MAX = 64 };

/* It is not read from while some of what was read is not written. */
typedef struct connection {
    int fd;
    size_t unwritten;
    uint8_t *bytes; /* of those */
} connection;

static int epolls[LOOPS_MAX], loop_count;

static void end(connection *c) {
    close(c->fd);
    free(c->bytes);
    free(c);
}

static void echo(int epoll, connection *c, uint8_t *buffer) {
    ssize_t len = read(c->fd, buffer, EPOLL_READ_BYTES);
    if (len < 0 && errno == EAGAIN) return;
    if (len <= 0) {
        end(c);
        return;
    }
    ssize_t written = write(c->fd, buffer, (size_t)len);
    if (written < 0 && errno != EAGAIN) {
        end(c);
        return;
    }
    if (written < 0) written = 0;
    if (written == len) return;
    c->unwritten = (size_t)(len - written);
    if (!c->bytes) c->bytes = epoll_allocate(EPOLL_READ_BYTES);
    memcpy(c->bytes, buffer + written, c->unwritten);
    epoll_watch(epoll, EPOLL_CTL_MOD, c->fd, c, 1);
}

static void write_rest(int epoll, connection *c) {
    ssize_t written = write(c->fd, c->bytes, c->unwritten);
    if (written < 0 && errno == EAGAIN) return;
    if (written < 0) {
        end(c);
        return;
    }
    c->unwritten -= (size_t)written;
    memmove(c->bytes, c->bytes + written, c->unwritten);
    if (c->unwritten == 0) epoll_watch(epoll, EPOLL_CTL_MOD, c->fd, c, 0);
}

/* A connection may be given to any epoll from any thread. */
static void accept_all(int listener) {
    static int next;
    int fd, yes = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        connection *c = epoll_allocate(sizeof *c);
        *c = (connection){.fd = fd};
        epoll_watch(epolls[next++ % loop_count], EPOLL_CTL_ADD, fd, c, 0);
    }
}

static void *run(void *epoll_) {
    int epoll = *(int *)epoll_;
    uint8_t *buffer = epoll_allocate(EPOLL_READ_BYTES);
    for (;;) {
        struct epoll_event events[EPOLL_EVENTS];
        int n = epoll_wait(epoll, events, EPOLL_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            connection *c = events[i].data.ptr;
            if (c->fd < 0)
                accept_all(~c->fd);
            else if (c->unwritten > 0)
                write_rest(epoll, c);
            else
                echo(epoll, c, buffer);
        }
    }
    return NULL;
}

static int listen_on(const char *address, int *inout_port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*inout_port)};
    socklen_t len = sizeof at;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    errno = EINVAL;
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) epoll_die(address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&at, &len))
        epoll_die("listen");
    *inout_port = ntohs(at.sin_port);
    return fd;
}

void epoll_serve(const char *address, int port, int loops) {
    loop_count = loops;
    if (loops < 1 || loops > LOOPS_MAX) {
        fprintf(stderr, "epoll: --loops %d is not supported: 1...64\n", loops);
        exit(2);
    }
    for (int i = 0; i < loops; i++)
        if ((epolls[i] = epoll_create1(EPOLL_CLOEXEC)) < 0) epoll_die("epoll");
    int fd = listen_on(address, &port);
    connection listener = {.fd = ~fd}; /* negative: how it is told from the others */
    epoll_watch(epolls[0], EPOLL_CTL_ADD, fd, &listener, 0);
    printf("ready %d\n", port);
    fflush(stdout);
    pthread_t thread;
    for (int i = 1; i < loops; i++)
        if (pthread_create(&thread, NULL, run, &epolls[i])) epoll_die("thread");
    run(&epolls[0]);
}
