/* One question to the name servers, each in turn, in rounds. Each try has a socket of its own, with
 * a random port that only the server's address can answer to; a random id; and a name in random
 * case, which the answer has to repeat. */
#include "base/memory.h"
#include "dns/resolver.h"
#include "loop/udp.h"

#include <stdio.h>
#include <string.h>

enum { TRY_MS_MAX = 30000, DOUBLINGS_MAX = 15 /* of 1 ms, which is more than that */ };

static void next_try(mcore__dns_exchange *x);
static void begin_waiting(mcore_dns *dns);

/* ---- Life ---- */

static void end_try(mcore__dns_exchange *x) {
    mcore__timer_stop(x->dns->loop, &x->timer);
    mcore__udp_close(x->udp);
    x->udp = NULL;
    if (x->stream) mcore__dns_stream_leave(x->stream);
    x->stream = NULL;
}

void mcore__dns_exchange_cancel(mcore__dns_exchange *x) {
    mcore_dns *dns = x->dns;
    end_try(x);
    mcore__later_cancel(dns->loop, &x->later);
    mcore__list_remove(&x->node);
    dns->exchange_count -= x->running;
    mcore__free(x);
    begin_waiting(dns);
}

static void finish(mcore__dns_exchange *x, mcore_status status, mcore_slice message) {
    mcore__dns_heard done = x->done;
    void *ctx = x->ctx;
    char detail[MCORE__DNS_DETAIL_BYTES];
    memcpy(detail, x->detail, sizeof detail);
    mcore__dns_exchange_cancel(x);
    done(ctx, status, message, detail);
}

static void begin(void *arg) {
    mcore__dns_exchange *x = arg;
    x->running = 1;
    x->dns->exchange_count++;
    mcore__list_remove(&x->node);
    mcore__dns_files_look(x->dns);
    const mcore__dns_conf *conf = &x->dns->conf;
    memcpy(x->servers, conf->servers, sizeof x->servers);
    x->server_count = conf->server_count;
    x->tries_max = conf->server_count * conf->attempts;
    if (conf->rotate) x->dns->server++;
    x->first = conf->server_count ? x->dns->server % conf->server_count : 0;
    next_try(x);
}

/* Some of those that wait have a place now. Each begins in a job of its own. */
static void begin_waiting(mcore_dns *dns) {
    uint32_t places = dns->options.exchanges_max - dns->exchange_count;
    mcore__list *node = dns->waiting.next;
    for (; places > 0 && node != &dns->waiting; places--, node = node->next) {
        mcore__dns_exchange *x = MCORE__CONTAINER(node, mcore__dns_exchange, node);
        mcore__later_mark(dns->loop, &x->later);
    }
}

static void on_later(void *arg) {
    mcore__dns_exchange *x = arg;
    if (x->dns->exchange_count < x->dns->options.exchanges_max) begin(x);
}

static void on_timer(void *arg);

mcore_status mcore__dns_exchange_start(mcore_dns *dns, const mcore__dns_name *name, uint16_t type,
                                       mcore__dns_heard done, void *ctx,
                                       mcore__dns_exchange **out_exchange) {
    mcore__dns_exchange *x = mcore__zalloc(sizeof *x);
    if (!x) return MCORE_ENOMEM;
    x->dns = dns;
    x->name = *name;
    x->type = type;
    x->done = done;
    x->ctx = ctx;
    x->edns = 1;
    x->failure = MCORE_EUNAVAILABLE;
    snprintf(x->detail, sizeof x->detail, "no name server is known");
    mcore__later_init(&x->later, on_later, x);
    mcore__timer_init(&x->timer, on_timer, x);
    mcore__list_append(&dns->waiting, &x->node);
    mcore__later_mark(dns->loop, &x->later);
    *out_exchange = x;
    return MCORE_OK;
}

/* ---- Trying ---- */

static const mcore__ip *server_of(const mcore__dns_exchange *x) {
    return &x->servers[(x->first + x->tries - 1) % x->server_count];
}

static void note_failure(mcore__dns_exchange *x, mcore_status status, const char *what) {
    char server[MCORE__IP_TEXT_BYTES];
    mcore__ip_format(server_of(x), server);
    x->failure = status;
    snprintf(x->detail, sizeof x->detail, "%s %s", server, what);
}

void mcore__dns_exchange_fail(mcore__dns_exchange *x, mcore_status status, const char *what) {
    note_failure(x, status, what);
    next_try(x);
}

static void on_timer(void *arg) {
    mcore__dns_exchange_fail(arg, MCORE_ETIMEDOUT, "does not answer");
}

static void on_datagram(void *ctx, const mcore__datagram *datagram) {
    mcore__dns_exchange *x = ctx;
    if (mcore__ip_equal(&datagram->from, server_of(x)))
        (void)mcore__dns_exchange_take(x, datagram->bytes, 0);
}

static void on_error(void *ctx, mcore_status status) {
    mcore__dns_exchange_fail(
        ctx, status, status == MCORE_ECONNREFUSED ? "has no name server" : "can't be reached");
}

static const mcore__udp_events events = {on_datagram, on_error};

/* Letters get a random case: 0x20 is all that it differs by. */
static void mix_case(mcore_dns *dns, mcore__dns_name *name) {
    uint64_t bits = 0;
    mcore__dns_name_lower(name);
    for (uint32_t i = 0, used = 64; i < name->len; i++) {
        if (name->bytes[i] < 'a' || name->bytes[i] > 'z') continue;
        if (used++ >= 64) {
            bits = mcore__dns_random(dns);
            used = 1;
        }
        name->bytes[i] ^= (bits & 1) << 5;
        bits >>= 1;
    }
}

uint32_t mcore__dns_exchange_write(const mcore__dns_exchange *x, uint8_t *out, size_t limit) {
    mcore__dns_writer writer;
    mcore__dns_header header = {.id = x->id, .recursion_desired = 1};
    mcore__dns_question question = {.name = x->name, .type = x->type, .class_code = MCORE__DNS_IN};
    mcore__dns_record opt = {.type = MCORE__DNS_OPT,
                             .class_code = MCORE__DNS_UDP_BYTES,
                             .section = MCORE__DNS_ADDITIONAL};
    /* It has room: a name and two fixed parts. */
    (void)mcore__dns_write_begin(&writer, out, limit, &header);
    (void)mcore__dns_write_question(&writer, &question);
    if (x->edns) (void)mcore__dns_write_record(&writer, &opt);
    return mcore__dns_write_end(&writer, 0);
}

static mcore_status send_question(mcore__dns_exchange *x) {
    uint8_t message[512];
    const mcore__ip *server = server_of(x);
    mcore__udp_options options = {.local = {.version = server->version}, .peer = *server};
    mcore_status status = mcore__udp_open(x->dns->loop, &options, &events, x, &x->udp);
    if (status < 0) return status;
    x->id = (uint16_t)mcore__dns_random(x->dns);
    mix_case(x->dns, &x->name);
    uint32_t len = mcore__dns_exchange_write(x, message, sizeof message);
    return mcore__udp_send(x->udp, NULL, 0, (mcore_slice){message, len});
}

/* A server that did not answer in time has longer in the next round. */
static uint64_t timeout_ms(const mcore__dns_exchange *x) {
    uint32_t doublings = (x->tries - 1) / x->server_count;
    if (doublings > DOUBLINGS_MAX) doublings = DOUBLINGS_MAX;
    uint64_t ms = (uint64_t)x->dns->conf.timeout_ms << doublings;
    return ms < TRY_MS_MAX ? ms : TRY_MS_MAX;
}

static void next_try(mcore__dns_exchange *x) {
    end_try(x);
    while (x->tries < x->tries_max) {
        x->tries++;
        mcore_status status = send_question(x);
        if (status == MCORE_OK) {
            mcore__timer_start(x->dns->loop, &x->timer, timeout_ms(x) * MCORE__DNS_NS_PER_MS);
            return;
        }
        note_failure(x, status, "can't be asked");
        end_try(x);
    }
    finish(x, x->failure, (mcore_slice){NULL, 0});
}

/* The same server again, by other means. */
static void try_again(mcore__dns_exchange *x) {
    x->tries--;
    next_try(x);
}

static void try_stream(mcore__dns_exchange *x) {
    end_try(x);
    uint64_t wait_ms = timeout_ms(x);
    mcore_status status = mcore__dns_stream_open(x, server_of(x), wait_ms, &x->stream);
    if (status < 0) {
        mcore__dns_exchange_fail(x, status, "can't be asked over TCP");
        return;
    }
    mcore__timer_start(x->dns->loop, &x->timer, wait_ms * MCORE__DNS_NS_PER_MS);
}

/* ---- Answers ---- */

enum { STRANGE, OTHER_CASE, OURS };

static int recognise(const mcore__dns_exchange *x, mcore_slice message,
                     mcore__dns_header *out_header) {
    mcore__dns_reader reader;
    mcore__dns_question question, more;
    if (mcore__dns_read_begin(&reader, message, out_header) < 0) return STRANGE;
    if (!out_header->response || out_header->id != x->id || out_header->opcode) return STRANGE;
    if (mcore__dns_read_question(&reader, &question) < 0) {
        /* Servers of the past say no more than that they did not understand. */
        int is_empty = message.len == MCORE__DNS_HEADER_BYTES;
        return is_empty && out_header->rcode == MCORE__DNS_FORMERR ? OURS : STRANGE;
    }
    if (mcore__dns_read_question(&reader, &more) != MCORE_ENOENT) return STRANGE;
    if (question.type != x->type || question.class_code != MCORE__DNS_IN) return STRANGE;
    if (mcore__dns_name_identical(&question.name, &x->name)) return OURS;
    return mcore__dns_name_equal(&question.name, &x->name) ? OTHER_CASE : STRANGE;
}

static const char *rcode_text(uint32_t rcode) {
    static const char *const texts[] = {"answered NOERROR",  "answered FORMERR",
                                        "answered SERVFAIL", "answered NXDOMAIN",
                                        "answered NOTIMP",   "answered REFUSED"};
    return rcode < sizeof texts / sizeof *texts ? texts[rcode] : "answered with an error";
}

static void accept(mcore__dns_exchange *x, mcore_slice message) {
    if (x->tries > 1 && !x->dns->conf.rotate && x->server_count == x->dns->conf.server_count)
        x->dns->server = (x->first + x->tries - 1) % x->server_count;
    x->detail[0] = 0;
    finish(x, MCORE_OK, message);
}

int mcore__dns_exchange_take(mcore__dns_exchange *x, mcore_slice message, int by_stream) {
    mcore__dns_header header;
    int kind = recognise(x, message, &header);
    if (kind == STRANGE) return 0;
    if (kind == OTHER_CASE && !by_stream) {
        try_stream(
            x); /* a server that changes the case, or a forger: TCP can't be forged blindly */
        return 1;
    }
    uint32_t rcode = header.rcode;
    if (header.truncated && !by_stream) {
        try_stream(x);
    } else if (mcore__dns_rcode(message, &rcode) < 0) {
        mcore__dns_exchange_fail(x, MCORE_EPROTO, "answered with a broken message");
    } else if (rcode == MCORE__DNS_NOERROR || rcode == MCORE__DNS_NXDOMAIN) {
        accept(x, message);
    } else if (x->edns && rcode != MCORE__DNS_SERVFAIL && rcode != MCORE__DNS_REFUSED) {
        x->edns = 0;
        try_again(x);
    } else {
        mcore__dns_exchange_fail(x, MCORE_EUNAVAILABLE, rcode_text(rcode));
    }
    return 1;
}
