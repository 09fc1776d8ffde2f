/* An echo of bytes on bare epoll and a client that keeps messages of a fixed size in flight: what
 * sockets and this kernel allow at most, without any protocol. */
#ifndef BENCH_EPOLL_ECHO_H
#define BENCH_EPOLL_ECHO_H

#include <stddef.h>
#include <stdint.h>

enum { EPOLL_EVENTS = 256, EPOLL_READ_BYTES = 64 << 10 };

typedef struct call_options {
    int port;
    uint32_t connections, in_flight; /* messages, on each */
    size_t size;                     /* of a message: at least 8 */
    double seconds, warmup;
} call_options;

/* Prints "ready PORT", and never returns. */
void epoll_serve(const char *address, int port, int loops);
/* Prints the line of results. Returns the exit code. */
int epoll_call(const call_options *options);

/* Prints why, and exits with 1. */
void epoll_die(const char *what);
void *epoll_allocate(size_t bytes);
/* Makes EPOLLOUT events of `fd` come, or come no more. */
void epoll_watch(int epoll, int operation, int fd, void *of, int writable);

#endif
