/*     epoll serve [--port P] [--address IP] [--codec bytes] [--loops N]
 *     epoll call --port P [--codec bytes] [--kind unary] [--connections C] [--streams S]
 *                [--seconds D] [--warmup W] [--size N]
 *     epoll version
 *
 * `--streams` are the messages in flight on a connection. */
#include "epoll_echo.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <unistd.h>

void epoll_die(const char *what) {
    fprintf(stderr, "epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

void *epoll_allocate(size_t bytes) {
    void *block = malloc(bytes);
    if (!block) epoll_die("memory");
    return block;
}

void epoll_watch(int epoll, int operation, int fd, void *of, int writable) {
    struct epoll_event event = {.events = writable ? EPOLLOUT | EPOLLIN : EPOLLIN, .data.ptr = of};
    if (operation == EPOLL_CTL_ADD) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (epoll_ctl(epoll, operation, fd, &event)) epoll_die("epoll");
}

static void usage(const char *option, const char *value) {
    fprintf(stderr, "epoll: %s %s is not supported\n", option, value);
    exit(2);
}

static void on_terminate(int number) {
    (void)number;
    _exit(0);
}

static int version(void) {
    struct utsname name;
    if (uname(&name)) epoll_die("uname");
    printf("%s %s\n", name.sysname, name.release);
    return 0;
}

static int serve(int argc, char **argv) {
    static const struct option names[] = {{"port", 1, NULL, 'p'},
                                          {"address", 1, NULL, 'a'},
                                          {"codec", 1, NULL, 'c'},
                                          {"loops", 1, NULL, 'l'},
                                          {0}};
    const char *address = "127.0.0.1";
    int port = 0, loops = 1, option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'p') port = atoi(optarg);
        if (option == 'a') address = optarg;
        if (option == 'c' && strcmp(optarg, "bytes") != 0) usage("--codec", optarg);
        if (option == 'l') loops = atoi(optarg);
        if (option == '?') return 2; /* getopt has named it */
    }
    if (optind < argc) usage("argument", argv[optind]);
    epoll_serve(address, port, loops);
    return 0;
}

static int call(int argc, char **argv) {
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},    {"codec", 1, NULL, 'c'},       {"kind", 1, NULL, 'k'},
        {"size", 1, NULL, 'n'},    {"connections", 1, NULL, 'C'}, {"streams", 1, NULL, 'S'},
        {"seconds", 1, NULL, 'D'}, {"warmup", 1, NULL, 'W'},      {0}};
    call_options o = {.connections = 1, .in_flight = 1, .size = 32, .seconds = 5, .warmup = 1};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'p') o.port = atoi(optarg);
        if (option == 'c' && strcmp(optarg, "bytes") != 0) usage("--codec", optarg);
        if (option == 'k' && strcmp(optarg, "unary") != 0) usage("--kind", optarg);
        if (option == 'n') o.size = strtoul(optarg, NULL, 10);
        if (option == 'C') o.connections = (uint32_t)strtoul(optarg, NULL, 10);
        if (option == 'S') o.in_flight = (uint32_t)strtoul(optarg, NULL, 10);
        if (option == 'D') o.seconds = atof(optarg);
        if (option == 'W') o.warmup = atof(optarg);
        if (option == '?') return 2;
    }
    if (optind < argc) usage("argument", argv[optind]);
    if (o.port < 1 || o.port > 65535) usage("--port", "outside of 1...65535");
    if (o.connections < 1 || o.in_flight < 1) usage("--connections or --streams", "0");
    if (o.size < 8) usage("--size", "below 8");
    return epoll_call(&o);
}

int main(int argc, char **argv) {
    const char *command = argc > 1 ? argv[1] : "''";
    signal(SIGPIPE, SIG_IGN);
    optind = 2;
    if (strcmp(command, "version") == 0 && argc == 2) return version();
    if (strcmp(command, "call") == 0) return call(argc, argv);
    if (strcmp(command, "serve") != 0) usage("command", command);
    signal(SIGTERM, on_terminate);
    return serve(argc, argv);
}
