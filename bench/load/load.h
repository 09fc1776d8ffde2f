/* A load generator for HTTP/2 services, gRPC above all, on libuv and nghttp2:
 *
 *     main.c        the program and its line of results
 *     options.c     the options
 *     note.c        what is sent
 *     traffic.c     when calls start, and whether what came of them is right
 *     session.c     HTTP/2
 *     connection.c  sockets and TLS
 *
 * One thread, one loop. A connection writes once per turn of the loop. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "measure.h"

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum { KIND_UNARY, KIND_CHAT, KIND_LIST, KIND_IDLE, KIND_MIXED };

/* Calls of the first lane are those that are measured; the second one is there for mixed load. */
enum { LANES = 2, FIELDS_MAX = 6 };

typedef struct load_options {
    int kind;
    const char *address;
    int port;
    const char *paths[LANES];
    uint32_t connections;
    uint32_t streams[LANES]; /* calls in flight on a connection; of the first lane at most, where
                              * there is a rate */
    double rate;             /* calls of the first lane per second in all; 0: as fast as it goes */
    double seconds, warmup;
    size_t size;       /* of a message */
    uint64_t messages; /* that a list is to have */
    int tls;
    const char *content_type;
    const char *body_file; /* NULL: a Note */
    size_t answer_size;    /* of an answer's message */
    int any_answer_size;
} load_options;

/* The calls of one path. */
typedef struct lane {
    nghttp2_nv fields[FIELDS_MAX];
    size_t field_count;
    uint32_t streams;
    uint64_t messages; /* of answers, that came while the window was open */
    measure results;
} lane;

/* What is read of an answer: frames of gRPC, or its length alone. */
typedef struct answer {
    int http_status, grpc_status; /* -1: not there */
    uint32_t prefix_len;          /* of the bytes of the prefix of a message that have come */
    uint8_t prefix[5];
    uint8_t is_wrong;
    size_t missing;    /* bytes of the message whose prefix has come */
    uint64_t messages; /* that are complete */
    uint64_t bytes;
} answer;

typedef struct call {
    struct call *next_free;
    struct connection *connection;
    lane *lane;
    int32_t id;
    uint8_t deferred;
    uint64_t start_ns; /* of the message, where there are many in a call */
    size_t sent;       /* bytes of the message */
    answer answer;
} call;

enum { CONNECTING, HANDSHAKING, OPEN, CLOSED };

typedef struct connection {
    uv_poll_t poll;
    int fd, state;
    int watched; /* events of the socket */
    uint8_t was_opened;
    SSL *ssl; /* NULL without TLS */
    nghttp2_session *session;
    uint32_t in_flight[LANES];
    struct connection *next_dirty;
    uint8_t dirty;
    uint8_t *rest; /* what the socket did not take */
    size_t rest_len;
} connection;

typedef struct load {
    load_options options;
    int is_grpc;
    uint8_t *request; /* the message with what is around it */
    size_t request_len;
    lane lanes[LANES];
    measure_window window;
    uint64_t now_ns; /* when the bytes were read that are being worked on */
    int counts;      /* whether answers do, now */
    uv_loop_t *loop;
    connection *connections;
    uint32_t opened, connecting; /* connections: begun, and not done with that */
    uint32_t answered;           /* connections, of idle ones */
    uint64_t in_flight;          /* calls */
} load;

extern load the_load;

/* ---- main.c ---- */

/* For what makes the whole run senseless: prints it, and exits with 1. */
void load_die(const char *what, const char *why);
void *load_allocate(size_t bytes); /* zeroed */

/* ---- options.c ---- */

/* Into the_load; exits with 2 where one is not understood. */
void options_read(int argc, char **argv);

/* ---- note.c ---- */

/* The bytes that every call sends, into the_load; `answer_size` of the options if it is not set.
 * Exits with 2 where there are none of that size. */
void note_prepare(void);

/* ---- traffic.c ---- */

void traffic_prepare(void);
void traffic_begin(void);
/* What sessions and connections have to tell. */
void traffic_opened(connection *c);
void traffic_data(call *c, const uint8_t *data, size_t len);
void traffic_ended(call *c, uint32_t error_code);
void traffic_lost(connection *c, const char *why);
/* 1 when another message of this call will follow what is sent. */
int traffic_is_conversation(void);
void traffic_tick(void); /* once per turn with something to read, and now and then */

/* ---- session.c ---- */

void session_prepare(void);
void session_open(connection *c);
/* 0, or -1 when the connection is to be closed. */
int session_receive(connection *c, const uint8_t *data, size_t len);
ssize_t session_produce(connection *c, const uint8_t **out_bytes);
int session_is_over(connection *c);
void session_request(call *c);
void session_send_next(call *c); /* its message once more */

/* ---- connection.c ---- */

void connection_prepare(void);
void connection_open(connection *c);
void connection_touch(connection *c); /* there is something to write */

#endif
