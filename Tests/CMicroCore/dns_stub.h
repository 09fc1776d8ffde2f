/* A name server for tests, over datagrams and streams, of which anything can be wrong. */
#ifndef MCORE_DNS_STUB_H
#define MCORE_DNS_STUB_H

#include "test.h"

#include "frame/dns.h"
#include "loop/udp.h"
#include "mcore/transport.h"

enum { STUB_RECORDS_MAX = 1200, STUB_UDP_BYTES = 1232 };

typedef struct stub {
    int is_conn; /* first: the context of a listener is told from that of a connection by it */
    mcore_loop *loop;
    mcore__ip ip;
    mcore__udp *udp;
    const mcore_transport_plugin *transport;
    void *streams;
    mcore_conn *listener;
    int conns;

    mcore__dns_record records[STUB_RECORDS_MAX];
    int record_count, first; /* `first`: where answers begin, for servers that rotate */
    uint32_t soa_minimum_s;  /* 0: negative answers have no SOA */

    /* What is wrong with it. */
    int silent, silent_for_type, rcode, wrong_id, wrong_question, lower_case, truncates, no_edns;
    int garbage, forged_before, no_streams, empty_stream;
    int one_alias;                  /* an answer has one, and not what it leads to */
    const mcore__dns_record *extra; /* in each answer, be it asked for or not */

    int asked, asked_by_stream;
    uint16_t last_port, last_id, last_type;
    mcore__dns_name last_name;
    uint8_t out[2 + MCORE__DNS_MESSAGE_BYTES_MAX];
} stub;

static mcore__dns_name stub_name(const char *text) {
    mcore__dns_name name;
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(text), &name), MCORE_OK);
    return name;
}

static mcore__dns_record *stub_add(stub *s, const char *name, uint16_t type, uint32_t ttl_s) {
    CHECK(s->record_count < STUB_RECORDS_MAX);
    mcore__dns_record *record = &s->records[s->record_count++];
    *record = (mcore__dns_record){
        .name = stub_name(name), .type = type, .class_code = MCORE__DNS_IN, .ttl_s = ttl_s};
    return record;
}

__attribute__((unused)) static void stub_address(stub *s, const char *name, const char *address,
                                                 uint32_t ttl_s) {
    mcore__ip ip;
    CHECK_INT(mcore__ip_parse(mcore_slice_of(address), &ip), MCORE_OK);
    mcore__dns_record *record =
        stub_add(s, name, ip.version == 4 ? MCORE__DNS_A : MCORE__DNS_AAAA, ttl_s);
    memcpy(record->address, ip.bytes, 16);
}

__attribute__((unused)) static void stub_alias(stub *s, const char *name, const char *target,
                                               uint32_t ttl_s) {
    stub_add(s, name, MCORE__DNS_CNAME, ttl_s)->target = stub_name(target);
}

__attribute__((unused)) static void stub_service(stub *s, const char *name, uint16_t priority,
                                                 uint16_t weight, uint16_t port, const char *target,
                                                 uint32_t ttl_s) {
    mcore__dns_record *record = stub_add(s, name, MCORE__DNS_SRV, ttl_s);
    record->priority = priority;
    record->weight = weight;
    record->port = port;
    record->target = stub_name(target);
}

/* ---- Answers ---- */

static int stub_write_matches(stub *s, mcore__dns_writer *w, const mcore__dns_name *name,
                              uint16_t type, uint8_t section) {
    int count = 0;
    for (int i = 0; i < s->record_count; i++) {
        mcore__dns_record record = s->records[(s->first + i) % s->record_count];
        if (record.type != type || !mcore__dns_name_equal(&record.name, name)) continue;
        record.section = section;
        (void)mcore__dns_write_record(w, &record);
        count++;
    }
    return count;
}

static int stub_has_name(const stub *s, const mcore__dns_name *name) {
    for (int i = 0; i < s->record_count; i++)
        if (mcore__dns_name_equal(&s->records[i].name, name)) return 1;
    return 0;
}

static const mcore__dns_record *stub_find_alias(const stub *s, const mcore__dns_name *name) {
    for (int i = 0; i < s->record_count; i++)
        if (s->records[i].type == MCORE__DNS_CNAME &&
            mcore__dns_name_equal(&s->records[i].name, name))
            return &s->records[i];
    return NULL;
}

/* Answers with what it has; returns the rcode. */
static uint8_t stub_write_records(stub *s, mcore__dns_writer *w,
                                  const mcore__dns_question *question) {
    mcore__dns_name name = question->name;
    const mcore__dns_record *alias;
    int count = 0, links = 0;
    for (;;) {
        count = stub_write_matches(s, w, &name, question->type, MCORE__DNS_ANSWER);
        if (count || links++ == 20 || !(alias = stub_find_alias(s, &name))) break;
        (void)mcore__dns_write_record(w, alias);
        name = alias->target;
        if (s->one_alias) break;
    }
    if (s->extra) (void)mcore__dns_write_record(w, s->extra);
    if (count == 0 && s->soa_minimum_s) {
        mcore__dns_record soa = {.type = MCORE__DNS_SOA,
                                 .class_code = MCORE__DNS_IN,
                                 .section = MCORE__DNS_AUTHORITY,
                                 .ttl_s = 100000,
                                 .minimum_s = s->soa_minimum_s};
        (void)mcore__dns_write_record(w, &soa);
    }
    return count || links > 1 || stub_has_name(s, &name) ? MCORE__DNS_NOERROR : MCORE__DNS_NXDOMAIN;
}

/* Returns the length of the answer; 0: none. */
static uint32_t stub_answer(stub *s, mcore_slice message, size_t limit, uint8_t *out) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_question question;
    mcore__dns_record record;
    CHECK_INT(mcore__dns_read_begin(&reader, message, &header), MCORE_OK);
    CHECK_INT(mcore__dns_read_question(&reader, &question), MCORE_OK);
    int has_edns = mcore__dns_read_record(&reader, &record) == MCORE_OK;
    CHECK(header.recursion_desired && !header.response);
    s->asked++;
    s->last_id = header.id;
    s->last_type = question.type;
    s->last_name = question.name;
    if (s->silent || s->silent_for_type == question.type) return 0;
    if (s->garbage) {
        memcpy(out, message.data, message.len);
        out[2] |= 0x80;
        out[7] = 9; /* records that are not there */
        return (uint32_t)message.len;
    }

    header.response = header.recursion_available = 1;
    if (s->wrong_id) header.id ^= 1;
    if (s->rcode) header.rcode = (uint8_t)s->rcode;
    if (s->no_edns && has_edns) header.rcode = MCORE__DNS_FORMERR;
    if (s->wrong_question) question.name = stub_name("other.example");
    if (s->lower_case) mcore__dns_name_lower(&question.name);
    mcore__dns_writer w;
    (void)mcore__dns_write_begin(&w, out, limit, &header);
    (void)mcore__dns_write_question(&w, &question);
    if (!header.rcode) out[3] |= stub_write_records(s, &w, &question);
    return mcore__dns_write_end(&w, w.full || (s->truncates && limit <= STUB_UDP_BYTES));
}

static void stub_on_datagram(void *ctx, const mcore__datagram *datagram) {
    stub *s = ctx;
    s->last_port = datagram->from.port;
    mcore__ip from = datagram->from;
    if (s->forged_before) { /* an answer of another id comes first */
        s->wrong_id = 1;
        uint32_t len = stub_answer(s, datagram->bytes, STUB_UDP_BYTES, s->out);
        mcore__udp_send(s->udp, &from, 0, (mcore_slice){s->out, len});
        s->wrong_id = 0;
        s->asked--;
    }
    uint32_t len = stub_answer(s, datagram->bytes, STUB_UDP_BYTES, s->out);
    if (len) mcore__udp_send(s->udp, &from, 0, (mcore_slice){s->out, len});
}

static const mcore__udp_events stub_udp_events = {.on_datagram = stub_on_datagram};

/* ---- Streams ---- */

typedef struct stub_conn {
    int is_conn; /* first */
    stub *stub;
    mcore_conn *conn;
    uint8_t in[600];
    size_t len;
    uint8_t out[2 + MCORE__DNS_MESSAGE_BYTES_MAX];
} stub_conn;

static void *stub_on_accept(void *ctx, mcore_conn *conn) {
    stub_conn *c = calloc(1, sizeof *c);
    c->is_conn = 1;
    c->stub = ctx;
    c->conn = conn;
    c->stub->conns++;
    return c;
}

static void stub_on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    stub_conn *c = ctx;
    stub *s = c->stub;
    if (n == 0 || s->empty_stream) {
        s->transport->close(conn, 0);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        CHECK(c->len + v[i].len <= sizeof c->in);
        memcpy(c->in + c->len, v[i].data, v[i].len);
        c->len += v[i].len;
    }
    if (c->len < 2 || c->len < 2u + ((size_t)c->in[0] << 8 | c->in[1])) return;
    s->asked_by_stream++;
    uint32_t len = stub_answer(s, (mcore_slice){c->in + 2, c->len - 2},
                               MCORE__DNS_MESSAGE_BYTES_MAX, c->out + 2);
    if (len == 0) return;
    c->out[0] = (uint8_t)(len >> 8);
    c->out[1] = (uint8_t)len;
    /* In two pieces, the first of one byte. */
    mcore_slice first = {c->out, 1}, rest = {c->out + 1, 1 + len};
    s->transport->send(conn, 1, &first, 1);
    s->transport->send(conn, 2, &rest, 1);
}

static void stub_on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status;
}

static void stub_on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    (void)conn, (void)why;
    if (!*(int *)ctx) {
        ((stub *)ctx)->listener = NULL;
        return;
    }
    stub_conn *c = ctx;
    c->stub->conns--;
    free(c);
}

static const mcore_transport_events stub_events = {.struct_size = sizeof(mcore_transport_events),
                                                   .on_accept = stub_on_accept,
                                                   .on_data = stub_on_data,
                                                   .on_sent = stub_on_sent,
                                                   .on_closed = stub_on_closed};

/* ---- Life ---- */

/* At "10.0.0.53", or on a real loop "127.0.0.1", where the port is a free one. */
__attribute__((unused)) static stub *stub_new(mcore_loop *loop, const char *host, uint16_t port,
                                              int is_real) {
    stub *s = calloc(1, sizeof *s);
    char address[MCORE__IP_TEXT_BYTES];
    s->loop = loop;
    CHECK_INT(mcore__ip_parse(mcore_slice_of(host), &s->ip), MCORE_OK);
    s->ip.port = port;
    CHECK_INT(
        mcore__udp_open(loop, &(mcore__udp_options){.local = s->ip}, &stub_udp_events, s, &s->udp),
        MCORE_OK);
    s->ip = mcore__udp_local(s->udp);
    mcore__ip_format(&s->ip, address);
    s->transport = is_real ? mcore_transport_tcp() : mcore_transport_memory();
    CHECK_INT(s->transport->create(mcore_loop_host(loop), NULL, 0, &s->streams), MCORE_OK);
    /* The port may be taken for streams: then there are none. */
    s->no_streams =
        s->transport->listen(s->streams, address, &stub_events, s, &s->listener) != MCORE_OK;
    return s;
}

/* The loop has to turn until stub_is_gone, then stub_free. */
__attribute__((unused)) static void stub_close(stub *s) {
    mcore__udp_close(s->udp);
    s->udp = NULL;
    if (s->listener) s->transport->close(s->listener, 1);
}
__attribute__((unused)) static int stub_is_gone(const stub *s) {
    return !s->listener && s->conns == 0;
}
__attribute__((unused)) static void stub_free(stub *s) {
    CHECK(stub_is_gone(s));
    s->transport->destroy(s->streams);
    free(s);
}

#endif
