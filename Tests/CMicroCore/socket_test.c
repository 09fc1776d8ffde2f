/* The transports tcp and unix against plain sockets, and what only they have. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net_harness.h"

#include "net/tcp_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- Moving connections to another loop ---- */

typedef struct other_loop {
    net net; /* of the loop that adopts */
    pthread_t thread;
    atomic_int adopted, closed, discarded;
    mcore_status adopt_status;
    side side;
} other_loop;

static other_loop other;
static int discard_tickets, detach_mistakes;
static mcore_conn *second_detach;

static void adopt_ticket(void *ticket) {
    other.side.net = &other.net;
    other.side.is_server = other.side.echo = other.side.close_on_eof = 1;
    other.adopt_status =
        other.net.t->adopt(other.net.self, ticket, &events, &other.side, &other.side.conn);
    atomic_fetch_add(&other.adopted, 1);
}

static void *detach_on_accept(void *ctx, mcore_conn *conn) {
    side *listener = ctx;
    const mcore_transport_plugin *t = listener->net->t;
    void *ticket, *again;
    listener->accepted++;
    if (t->detach(conn, &ticket) != MCORE_OK) detach_mistakes++;
    if (t->detach(conn, &again) != MCORE_EINVAL) detach_mistakes++;
    if (discard_tickets)
        t->discard(ticket);
    else if (mcore_loop_post(other.net.loop, adopt_ticket, ticket) != MCORE_OK)
        detach_mistakes++;
    after_event(listener->net);
    return NULL;
}

static void *run_other(void *arg) {
    mcore_loop_run(((other_loop *)arg)->net.loop);
    return NULL;
}

static void moves_connections(const variant *v) {
    static mcore_transport_events detaching;
    detaching = events;
    detaching.on_accept = detach_on_accept;
    net n;
    side s;
    memset(&s, 0, sizeof s);
    client = &s;
    net_open(&n, v);
    do_close(&n.listener, 0);
    CHECK(pump(&n, listener_closed));
    memset(&n.listener, 0, sizeof n.listener);
    n.listener.net = &n;
    n.listener.is_listener = 1;
    CHECK_INT(n.t->listen(n.self, n.address, &detaching, &n.listener, &n.listener.conn), MCORE_OK);
    memset(&other, 0, sizeof other);
    other.net.t = n.t;
    CHECK_INT(mcore_loop_create(&other.net.loop), MCORE_OK);
    CHECK_INT(n.t->create(mcore_loop_host(other.net.loop), NULL, 0, &other.net.self), MCORE_OK);
    CHECK_INT(pthread_create(&other.thread, NULL, run_other, &other), 0);

    CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed)); /* by the other loop */
    CHECK_INT(n.listener.accepted, 1);
    do_close(client, 0);
    CHECK(pump(&n, client_closed));
    CHECK_INT(client->why, MCORE_OK);

    /* The other side ended because this one did; then its loop may stop. */
    mcore_loop_stop(other.net.loop);
    pthread_join(other.thread, NULL);
    while (!other.side.closed) {
        mcore_loop_stop(other.net.loop);
        mcore_loop_run(other.net.loop);
    }
    CHECK_INT(other.adopt_status, MCORE_OK);
    CHECK_INT(other.side.eof, 1);
    CHECK_INT(other.net.mistakes, 0);

    discard_tickets = 1;
    memset(client, 0, sizeof *client);
    CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
    CHECK(pump(&n, client_at_end));
    discard_tickets = 0;
    CHECK_INT(n.t->detach(client->conn, (void **)&second_detach), MCORE_EINVAL);
    do_close(client, 0);
    CHECK(pump(&n, client_closed));
    CHECK_INT(detach_mistakes, 0);
    n.t->destroy(other.net.self);
    mcore_loop_destroy(other.net.loop);
    net_close(&n);
}

TEST(connections_move_to_another_loop) {
    for (int i = 0; i < 3; i++) moves_connections(&variants[i]);
    CHECK(!mcore_transport_memory()->detach);
}

/* ---- Against plain sockets ---- */

static int plain_connect(const char *address) {
    mcore__host_port at;
    mcore__address to;
    size_t count;
    CHECK_INT(mcore__host_port_parse(address, &at), MCORE_OK);
    CHECK_INT(mcore__host_port_resolve(&at, 1, &to, 1, &count), MCORE_OK);
    int fd = socket(to.u.any.sa_family, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK_INT(connect(fd, &to.u.any, to.len), 0);
    return fd;
}

static int has_server(net *n) { return n->server_count > 0; }
static int server_closed(net *n) { return n->server_count && n->servers[0].closed; }

typedef struct plain {
    pthread_t thread;
    int fd;
    size_t received;
    int error;
} plain;

static void *read_all(void *arg) {
    plain *p = arg;
    char buffer[65536];
    ssize_t n;
    while ((n = read(p->fd, buffer, sizeof buffer)) > 0) p->received += (size_t)n;
    p->error = n < 0 ? errno : 0;
    return NULL;
}

/* The peer ends its side first; the answer is written all the same. */
TEST(tcp_writes_to_a_half_closed_peer) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    plain p = {.fd = plain_connect(n.address)};
    CHECK_INT(write(p.fd, "request", 7), 7);
    shutdown(p.fd, SHUT_WR);
    CHECK(pump(&n, server_at_end));
    CHECK_INT(n.servers[0].received, 7);
    for (int i = 0; i < 2; i++) CHECK_INT(do_send(&n.servers[0], big, BIG / 2), MCORE_OK);
    do_close(&n.servers[0], 0);
    pthread_create(&p.thread, NULL, read_all, &p);
    CHECK(pump(&n, server_closed));
    pthread_join(p.thread, NULL);
    close(p.fd);
    CHECK_INT(p.received, BIG);
    CHECK_INT(p.error, 0);
    CHECK_INT(n.servers[0].why, MCORE_OK);
    net_close(&n);
}

static void *write_then_read(void *arg) {
    plain *p = arg;
    size_t at = 0;
    while (at < BIG) {
        ssize_t n = send(p->fd, big + at, BIG - at, MSG_NOSIGNAL);
        if (n <= 0) break;
        at += (size_t)n;
    }
    shutdown(p->fd, SHUT_WR);
    return read_all(p);
}

/* An answer that comes before the request was read must not be lost to a reset. */
TEST(tcp_lets_the_peer_read_the_last_answer) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    plain p = {.fd = plain_connect(n.address)};
    CHECK(pump(&n, has_server));
    CHECK_INT(do_set_reading(&n.servers[0], 0), MCORE_OK);
    pthread_create(&p.thread, NULL, write_then_read, &p);
    rest(&n, 20); /* unread bytes pile up */
    CHECK_INT(do_send(&n.servers[0], big, 100000), MCORE_OK);
    do_close(&n.servers[0], 0);
    CHECK(pump(&n, server_closed));
    pthread_join(p.thread, NULL);
    close(p.fd);
    CHECK_INT(p.error, 0);
    CHECK_INT(p.received, 100000);
    CHECK_INT(n.servers[0].why, MCORE_OK);
    net_close(&n);
}

/* A peer that never ends its side is not waited for for ever. */
TEST(tcp_orderly_end_is_bounded) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    int fd = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    do_close(&n.servers[0], 0);
    rest(&n, 50);
    CHECK_INT(n.servers[0].closed, 0);
    CHECK(pump(&n, server_closed));
    CHECK_INT(n.servers[0].why, MCORE_OK);
    close(fd);
    net_close(&n);
}

TEST(tcp_tells_a_reset) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    int fd = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    CHECK(pump(&n, server_closed));
    CHECK_INT(n.servers[0].why, MCORE_ECONNRESET);
    CHECK_INT(n.servers[0].eof, 0);
    net_close(&n);
}

static int failed_send(net *n) { return n->servers[0].closed; }

TEST(tcp_fails_sends_to_a_peer_that_is_gone) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    int fd = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    CHECK_INT(do_set_reading(&n.servers[0], 0), MCORE_OK);
    for (int i = 0; i < 4; i++) CHECK_INT(do_send(&n.servers[0], big, BIG), MCORE_OK);
    close(fd); /* unread bytes: a reset */
    CHECK(pump(&n, failed_send));
    CHECK(n.servers[0].sent_failed > 0);
    CHECK_INT(n.servers[0].last_sent_status, MCORE_ECONNRESET);
    CHECK_INT(n.servers[0].why, MCORE_ECONNRESET);
    net_close(&n);
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    getsockopt(fd, level, name, &value, &size);
    return value;
}

TEST(tcp_sets_its_options) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    CHECK_INT(do_connect(&n, n.address, client), MCORE_OK);
    CHECK(pump(&n, server_there));
    mcore_conn *ends[] = {client->conn, n.servers[0].conn};
    for (int i = 0; i < 2; i++) {
        int fd = ends[i]->fd;
        CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
        CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0);
        CHECK_INT(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    CHECK(fcntl(n.listener.conn->fd, F_GETFD) & FD_CLOEXEC);
    do_close(client, 0);
    do_close(&n.servers[0], 0);
    CHECK(pump(&n, both_closed));
    net_close(&n);
}

/* ---- Addresses ---- */

TEST(tcp_addresses_are_parsed) {
    static const char *const bad[] = {"",      "x",     "1.2.3.4", ":",        "a:b",
                                      "a:-1",  "a:1x",  "a:65536", "a:000080", "::1:80",
                                      "[::1]", "[]:80", "[::1:80", "[::1]80",  "a: 1"};
    mcore__host_port at;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(mcore__host_port_parse(bad[i], &at), MCORE_EINVAL);
    char longest[400];
    memset(longest, 'a', sizeof longest);
    strcpy(longest + 300, ":80");
    CHECK_INT(mcore__host_port_parse(longest, &at), MCORE_EINVAL);
    CHECK_INT(mcore__host_port_parse("host.example:65535", &at), MCORE_OK);
    CHECK(strcmp(at.host, "host.example") == 0 && at.port == 65535);
    CHECK_INT(mcore__host_port_parse(":0", &at), MCORE_OK);
    CHECK(strcmp(at.host, "") == 0 && at.port == 0);
    CHECK_INT(mcore__host_port_parse("[fe80::1]:80", &at), MCORE_OK);
    CHECK(strcmp(at.host, "fe80::1") == 0);

    static const char *const same[] = {"127.0.0.1:80", "[::1]:8080", "255.255.255.255:0"};
    char text[MCORE__ADDRESS_TEXT];
    mcore__address address;
    size_t count;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        CHECK_INT(mcore__host_port_parse(same[i], &at), MCORE_OK);
        CHECK_INT(mcore__host_port_resolve(&at, 1, &address, 1, &count), MCORE_OK);
        size_t len = mcore__tcp_address_text(&address, text);
        CHECK_SLICE(((mcore_slice){text, len}), same[i]);
    }
    CHECK_INT(mcore__host_port_parse("[::ffff:1.2.3.4]:5", &at), MCORE_OK);
    CHECK_INT(mcore__host_port_resolve(&at, 1, &address, 1, &count), MCORE_OK);
    CHECK_SLICE(((mcore_slice){text, mcore__tcp_address_text(&address, text)}), "1.2.3.4:5");
    CHECK_INT(mcore__host_port_parse("localhost:5", &at), MCORE_OK);
    CHECK_INT(mcore__host_port_resolve(&at, 1, &address, 1, &count), MCORE_ENOENT);
}

/* listen on / connect to, by name, on all interfaces, over IPv6. */
static void connects(const char *listen_on, const char *connect_to) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    do_close(&n.listener, 0);
    CHECK(pump(&n, listener_closed));
    CHECK_INT(try_listen(&n, listen_on), MCORE_OK);
    char address[192];
    snprintf(address, sizeof address, "%s%s", connect_to, strrchr(n.address, ':'));
    n.server_template.echo = n.server_template.close_on_eof = 1;
    CHECK_INT(do_connect(&n, address, client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(&n, client_echoed));
    do_close(client, 0);
    CHECK(pump(&n, both_closed));
    net_close(&n);
}

static int have_ipv6(void) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    int have = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
    if (fd >= 0) close(fd);
    return have;
}

TEST(tcp_knows_names_and_families) {
    connects("127.0.0.1:0", "localhost"); /* ::1 may come first, and refuse */
    connects("localhost:0", "127.0.0.1");
    connects(":0", "127.0.0.1");
    connects(":0", "");
    if (!have_ipv6()) {
        fprintf(stderr, "no IPv6 on this machine: not tried\n");
        return;
    }
    connects("[::1]:0", "[::1]");
    connects(":0", "[::1]");
}

TEST(tcp_tells_what_is_wrong_with_an_address) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    mcore_conn *conn;
    CHECK_INT(n.t->connect(n.self, "127.0.0.1:0", 0, &events, client, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.self, "192.0.2.1:0", &events, &n.listener, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.self, "no-such-host.invalid:0", &events, &n.listener, &conn),
              MCORE_EINVAL);
    CHECK_INT(do_connect(&n, "no-such-host.invalid:80", client), MCORE_OK);
    CHECK(pump(&n, client_closed));
    CHECK(client->open_status == MCORE_ENOENT || client->open_status == MCORE_EUNREACH);
    net_close(&n);
}

/* Closed while the name is being looked up: the answer finds nobody. */
TEST(tcp_forgets_a_lookup) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[0]);
    CHECK_INT(do_connect(&n, "localhost:9", client), MCORE_OK);
    do_close(client, 1);
    CHECK(pump(&n, client_closed));
    CHECK_INT(client->open_status, MCORE_ECANCELED);
    net_close(&n);
}

/* ---- Timeouts ---- */

/* Listens, never accepts, and has its backlog full. */
static int deaf_listener(struct sockaddr *address, socklen_t *len, int *fillers, int count) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_INT(bind(fd, address, *len), 0);
    CHECK_INT(listen(fd, 0), 0);
    CHECK_INT(getsockname(fd, address, len), 0);
    for (int i = 0; i < count; i++) {
        fillers[i] = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], address, *len);
    }
    return fd;
}

static void times_out(const variant *v, mcore__address *address, const char *text) {
    net n;
    side s = {0};
    int fillers[4];
    client = &s;
    net_open(&n, v);
    int deaf = deaf_listener(&address->u.any, &address->len, fillers, 4);
    char name[128];
    snprintf(name, sizeof name, "%s", text);
    if (v == &variants[0])
        snprintf(name, sizeof name, "127.0.0.1:%u", ntohs(address->u.v4.sin_port));
    uint64_t began = mcore_loop_now_ns(n.loop), cpu = cpu_ns();
    s.net = &n;
    CHECK_INT(n.t->connect(n.self, name, 150, &events, client, &client->conn), MCORE_OK);
    CHECK(pump(&n, client_closed));
    CHECK_INT(client->open_status, MCORE_ETIMEDOUT);
    CHECK_INT(client->why, MCORE_ETIMEDOUT);
    CHECK(mcore_loop_now_ns(n.loop) - began >= 150 * MS);
    CHECK(cpu_ns() - cpu < 60 * MS);
    for (int i = 0; i < 4; i++) close(fillers[i]);
    close(deaf);
    net_close(&n);
}

TEST(connecting_times_out) {
    mcore__address tcp = {.len = sizeof tcp.u.v4};
    tcp.u.v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    times_out(&variants[0], &tcp, NULL);
    mcore__address local = {.len = sizeof local.u.local};
    local.u.local.sun_family = AF_UNIX;
    char path[128];
    snprintf(path, sizeof path, "%s/deaf", folder);
    strcpy(local.u.local.sun_path, path);
    times_out(&variants[1], &local, path);
    unlink(path);
}

/* An address that swallows our packets leaves time for the next one. */
TEST(connecting_goes_on_to_the_next_address) {
    net n;
    side s = {0};
    int fillers[4];
    client = &s;
    net_open(&n, &variants[0]);
    mcore__address deaf = {.len = sizeof deaf.u.v4}, refusing;
    deaf.u.v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    refusing = deaf;
    int fd = deaf_listener(&deaf.u.any, &deaf.len, fillers, 4);
    int silent = socket(AF_INET, SOCK_STREAM, 0); /* bound, but it does not listen */
    CHECK_INT(bind(silent, &refusing.u.any, refusing.len), 0);
    CHECK_INT(getsockname(silent, &refusing.u.any, &refusing.len), 0);
    n.server_template.close_on_eof = 1;
    s.net = &n;
    CHECK_INT(mcore__socket_connect(n.self, 600, &events, client, &client->conn), MCORE_OK);
    client->conn->dial->addresses[0] = refusing;
    client->conn->dial->addresses[1] = deaf;
    client->conn->dial->addresses[2] = n.listener.conn->address;
    client->conn->dial->count = 3;
    mcore__socket_dial(client->conn);
    CHECK(pump(&n, server_there));
    CHECK_INT(client->open_status, MCORE_OK);
    do_close(client, 0);
    CHECK(pump(&n, both_closed));
    for (int i = 0; i < 4; i++) close(fillers[i]);
    close(fd);
    close(silent);
    net_close(&n);
}

/* An address that refuses only after a while: the listener goes away with our SYN unanswered. */
TEST(connecting_goes_on_after_a_late_refusal) {
    net n;
    side s = {0};
    int fillers[4];
    client = &s;
    net_open(&n, &variants[0]);
    mcore__address deaf = {.len = sizeof deaf.u.v4};
    deaf.u.v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = deaf_listener(&deaf.u.any, &deaf.len, fillers, 4);
    n.server_template.close_on_eof = 1;
    s.net = &n;
    CHECK_INT(mcore__socket_connect(n.self, 0, &events, client, &client->conn), MCORE_OK);
    client->conn->dial->addresses[0] = deaf;
    client->conn->dial->addresses[1] = n.listener.conn->address;
    client->conn->dial->count = 2;
    mcore__socket_dial(client->conn);
    close(fd);
    CHECK(pump(&n, server_there)); /* when the SYN is repeated, after a second */
    CHECK_INT(client->open_status, MCORE_OK);
    do_close(client, 0);
    CHECK(pump(&n, both_closed));
    for (int i = 0; i < 4; i++) close(fillers[i]);
    net_close(&n);
}

/* An unix socket is connected at once, and its peer may be faster than the job that says so. */
TEST(unix_opens_before_it_reads) {
    net n;
    side s = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    client = &s;
    net_open(&n, &variants[1]);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/fast", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(fd, 1), 0);
    CHECK_INT(do_connect(&n, address.sun_path, client), MCORE_OK);
    int peer = accept(fd, NULL, NULL);
    CHECK_INT(write(peer, "hello", 5), 5);
    CHECK(pump(&n, client_echoed));
    CHECK_INT(client->opened, 1);
    close(peer);
    do_close(client, 0);
    CHECK(pump(&n, client_closed));
    close(fd);
    unlink(address.sun_path);
    net_close(&n);
}

/* ---- Files of unix sockets ---- */

TEST(unix_files_are_private_and_go_away) {
    net n;
    net_open(&n, &variants[1]);
    struct stat info;
    CHECK_INT(lstat(n.address, &info), 0);
    CHECK(S_ISSOCK(info.st_mode));
    CHECK_INT(info.st_mode & 0777, 0600);
    char path[128];
    strcpy(path, n.address);
    net_close(&n);
    CHECK(lstat(path, &info) < 0);
}

static void leave_stale_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(fd, 1), 0);
    close(fd);
}

TEST(unix_stale_sockets_are_replaced) {
    net n;
    side s = {0};
    client = &s;
    net_open(&n, &variants[1]);
    do_close(&n.listener, 0);
    CHECK(pump(&n, listener_closed));
    char path[128];
    snprintf(path, sizeof path, "%s/stale", folder);
    leave_stale_socket(path);
    CHECK_INT(try_listen(&n, path), MCORE_OK);
    n.server_template.close_on_eof = 1;
    CHECK_INT(do_connect(&n, path, client), MCORE_OK);
    CHECK(pump(&n, server_there));
    do_close(client, 0);
    CHECK(pump(&n, both_closed));

    /* A file that came into its place is somebody else's. */
    CHECK_INT(unlink(path), 0);
    leave_stale_socket(path);
    net_close(&n);
    CHECK_INT(unlink(path), 0);
}

TEST(unix_other_files_are_left_alone) {
    net n;
    net_open(&n, &variants[1]);
    mcore_conn *conn;
    char path[256];
    snprintf(path, sizeof path, "%s/file", folder);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_INT(n.t->listen(n.self, path, &events, &n.listener, &conn), MCORE_EADDRINUSE);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(n.t->listen(n.self, "/nonexistent/x", &events, &n.listener, &conn), MCORE_ENOENT);
    memset(path, 'a', 200);
    path[200] = 0;
    CHECK_INT(n.t->listen(n.self, path, &events, &n.listener, &conn), MCORE_EINVAL);
    path[0] = '@';
    path[109] = 0;
    CHECK_INT(n.t->listen(n.self, path, &events, &n.listener, &conn), MCORE_EINVAL);
    CHECK_INT(n.t->listen(n.self, "@", &events, &n.listener, &conn), MCORE_EINVAL);
    net_close(&n);
}

TEST(sockets_need_a_real_loop) {
    mcore_loop *loop;
    void *self;
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    CHECK_INT(mcore_transport_tcp()->create(mcore_loop_host(loop), NULL, 0, &self), MCORE_ENOTSUP);
    CHECK_INT(mcore_transport_unix()->create(mcore_loop_host(loop), NULL, 0, &self), MCORE_ENOTSUP);
    mcore_loop_destroy(loop);
}

/* ---- Out of descriptors ---- */

static int second_server(net *n) { return n->server_count == 2 && n->servers[0].closed; }
static int second_closed(net *n) { return n->servers[1].closed; }

TEST(running_out_of_descriptors_turns_peers_away) {
    net n;
    side none = {0};
    client = &none;
    net_open(&n, &variants[0]);
    n.server_template.close_on_eof = 1;
    /* A first connection makes the listener open what it opens lazily. */
    int first = plain_connect(n.address);
    CHECK(pump(&n, has_server));
    enum { PEERS = 5 };
    int peers[PEERS];
    mcore__host_port at;
    mcore__address to;
    size_t count;
    mcore__host_port_parse(n.address, &at);
    mcore__host_port_resolve(&at, 1, &to, 1, &count);
    for (int i = 0; i < PEERS; i++) peers[i] = socket(AF_INET, SOCK_STREAM, 0);

    struct rlimit limit, low;
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    int probe = dup(0);
    close(probe);
    low.rlim_cur = (rlim_t)probe; /* the next descriptor is one too many */
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), 0);
    int refused = dup(0);
    for (int i = 0; i < PEERS; i++) CHECK_INT(connect(peers[i], &to.u.any, to.len), 0);
    uint64_t began = cpu_ns();
    rest(&n, 300);
    uint64_t used = cpu_ns() - began;
    int hung_up = 0;
    for (int i = 0; i < PEERS; i++) {
        struct pollfd p = {.fd = peers[i], .events = POLLIN};
        char byte;
        hung_up += poll(&p, 1, 0) == 1 && recv(peers[i], &byte, 1, MSG_DONTWAIT) <= 0;
    }
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK_INT(refused, -1);
    CHECK_INT(n.server_count, 1);
    CHECK_INT(hung_up, PEERS);
    CHECK(used < 60 * MS);
    for (int i = 0; i < PEERS; i++) close(peers[i]);

    /* And with descriptors again, peers are served again. */
    close(first);
    int again = plain_connect(n.address);
    CHECK(pump(&n, second_server));
    close(again);
    CHECK(pump(&n, second_closed));
    net_close(&n);
}

int main(int argc, char **argv) { return net_main(argc, argv); }
