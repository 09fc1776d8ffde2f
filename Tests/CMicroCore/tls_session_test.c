/* TLS without a connection: two sessions, and the bytes between them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "tls_rig.h"

#include "base/memory.h"
#include "mcore/allocator.h"
#include "tls/tls_session.h"

/* ---- Two ends ---- */

typedef struct end {
    mcore__tls_session *session;
    mcore__buffer out;   /* on its way to the other end */
    mcore__buffer plain; /* received */
    mcore_status status; /* of what failed first */
} end;

typedef struct pair {
    mcore_tls_context *contexts[2];
    end client, server;
    size_t step; /* bytes that are carried at once; 0: all */
} pair;

static uint8_t room[65536];

static void note(end *e, mcore_status status) {
    if (e->status == MCORE_OK) e->status = status;
}

static void receive(end *e, mcore_slice input) {
    while (e->status == MCORE_OK) {
        size_t len = 0;
        if (!mcore__tls_session_is_open(e->session))
            note(e, mcore__tls_session_handshake(e->session, &input, &e->out));
        if (e->status != MCORE_OK || !mcore__tls_session_is_open(e->session)) return;
        note(e, mcore__tls_session_read(e->session, &input, &e->out, room, sizeof room, &len));
        CHECK_INT(mcore__buffer_append(&e->plain, room, len), MCORE_OK);
        if (len == 0) {
            if (!mcore__tls_session_has_ended(e->session) && e->status == MCORE_OK)
                CHECK_INT(input.len, 0);
            return;
        }
    }
}

static int carry(end *from, end *to, size_t step) {
    size_t len = mcore__buffer_len(&from->out);
    if (len == 0) return 0;
    uint8_t *copy = malloc(len); /* of the right size: an overrun is seen */
    memcpy(copy, mcore__buffer_bytes(&from->out), len);
    mcore__buffer_consume(&from->out, len);
    if (!step) step = len;
    for (size_t at = 0; at < len; at += step)
        receive(to, (mcore_slice){copy + at, step < len - at ? step : len - at});
    free(copy);
    return 1;
}

static void exchange(pair *p) {
    int moved = 1;
    while (moved) {
        moved = carry(&p->client, &p->server, p->step);
        moved |= carry(&p->server, &p->client, p->step);
    }
}

/* The contexts become the pair's. */
static void start(pair *p, mcore_tls_context *client, mcore_tls_context *server,
                  const char *address) {
    mcore_slice nothing = {NULL, 0};
    p->contexts[0] = client;
    p->contexts[1] = server;
    CHECK_INT(mcore__tls_session_create(client, address, &p->client.session), MCORE_OK);
    CHECK_INT(mcore__tls_session_create(server, NULL, &p->server.session), MCORE_OK);
    note(&p->client, mcore__tls_session_handshake(p->client.session, &nothing, &p->client.out));
    exchange(p);
}

static void stop(pair *p) {
    end *ends[2] = {&p->client, &p->server};
    for (int i = 0; i < 2; i++) {
        mcore__tls_session_destroy(ends[i]->session);
        mcore__buffer_free(&ends[i]->out);
        mcore__buffer_free(&ends[i]->plain);
        mcore_tls_context_release(p->contexts[i]);
    }
    memset(p, 0, sizeof *p);
}

static const char *failure(const end *e) { return mcore__tls_session_failure(e->session); }

static void check_failed(const end *e, const char *text) {
    CHECK_INT(e->status, MCORE_ETLS);
    if (!strstr(failure(e), text)) fprintf(stderr, "it says: \"%s\"\n", failure(e));
    CHECK(strstr(failure(e), text));
    CHECK(!strchr(failure(e), '\n'));
}

static void check_open(const pair *p) {
    if (p->client.status) fprintf(stderr, "client: %s\n", failure(&p->client));
    if (p->server.status) fprintf(stderr, "server: %s\n", failure(&p->server));
    CHECK(mcore__tls_session_is_open(p->client.session));
    CHECK(mcore__tls_session_is_open(p->server.session));
    CHECK_INT(p->client.status, MCORE_OK);
    CHECK_INT(p->server.status, MCORE_OK);
}

static mcore_security security_of(end *e) {
    mcore_security security = {.struct_size = sizeof security};
    CHECK_INT(mcore__tls_session_security(e->session, &security), MCORE_OK);
    return security;
}

static void say(pair *p, end *from, end *to, const void *bytes, size_t len) {
    mcore__buffer_reset(&to->plain, SIZE_MAX);
    CHECK_INT(mcore__tls_session_write(from->session, (mcore_slice){bytes, len}, &from->out),
              MCORE_OK);
    exchange(p);
    CHECK_INT(mcore__buffer_len(&to->plain), len);
    CHECK(memcmp(mcore__buffer_bytes(&to->plain), bytes, len) == 0);
}

static void only_1_2(mcore_tls_options *options) { options->version_max = MCORE_TLS_1_2; }
static void only_1_3(mcore_tls_options *options) { options->version_min = MCORE_TLS_1_3; }

static void converse(pair *p) {
    check_open(p);
    say(p, &p->client, &p->server, "hello", 5);
    say(p, &p->server, &p->client, "good day", 8);
}

/* ---- Handshakes ---- */

TEST(both_versions_shake_hands) {
    tls_usual();
    void (*changes[])(mcore_tls_options *) = {only_1_2, only_1_3, NULL};
    const char *versions[] = {"TLSv1.2", "TLSv1.3", "TLSv1.3"};
    for (int i = 0; i < 3; i++) {
        pair p = {0};
        start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, changes[i]),
              tls_context(MCORE_TLS_SERVER, tls_server, NULL, NULL), "127.0.0.1:80");
        converse(&p);
        CHECK_SLICE(security_of(&p.client).version, versions[i]);
        CHECK_SLICE(security_of(&p.server).protocol, "h2");
        CHECK_INT(security_of(&p.server).peer_subject.len, 0);
        CHECK_SLICE(security_of(&p.client).peer_subject, "CN=not a name");
        CHECK_INT(security_of(&p.client).peer_name_count, 2);
        mcore_tls_stats stats = tls_stats(p.contexts[1]);
        CHECK_INT(stats.handshakes, 1);
        CHECK_INT(stats.generation, 1);
        CHECK(stats.expires_at > 1700000000);
        stop(&p);
    }
}

TEST(bytes_may_come_one_by_one) {
    tls_usual();
    void (*changes[])(mcore_tls_options *) = {only_1_2, only_1_3};
    for (int i = 0; i < 2; i++) {
        pair p = {.step = 1};
        start(&p, tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, changes[i]),
              tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, NULL), "localhost");
        converse(&p);
        stop(&p);
    }
}

TEST(large_data_passes_in_odd_steps) {
    tls_usual();
    enum { BIG = 3 << 20 };
    uint8_t *big = malloc(BIG);
    for (size_t i = 0; i < BIG; i++) big[i] = (uint8_t)(i * 2654435761u >> 13);
    size_t steps[] = {0, 16384, 16413, 777, 65537};
    for (int i = 0; i < 5; i++) {
        pair p = {0};
        start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL),
              tls_context(MCORE_TLS_SERVER, tls_server, NULL, NULL), "service:1");
        p.step = steps[i];
        say(&p, &p.client, &p.server, big, BIG);
        say(&p, &p.server, &p.client, big, BIG);
        stop(&p);
    }
    free(big);
}

TEST(versions_without_overlap_fail) {
    tls_usual();
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, only_1_2),
          tls_context(MCORE_TLS_SERVER, tls_server, NULL, only_1_3), "service");
    check_failed(&p.server, "no TLS version in common");
    check_failed(&p.client, "no TLS version in common, says the peer");
    CHECK_INT(tls_stats(p.contexts[0]).failures, 1);
    CHECK_INT(tls_stats(p.contexts[1]).failures, 1);
    stop(&p);
}

TEST(garbage_and_plain_http_are_told) {
    tls_usual();
    const char *texts[][2] = {{"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"},
                              {"\x15\x03\x03\x00\x02\x02\x28", "nothing in common"},
                              {"\x16\x03\x01\xff\xff what is this?", ""}};
    for (int i = 0; i < 3; i++) {
        pair p = {0};
        mcore_slice nothing = {NULL, 0};
        size_t len = i == 1 ? 7 : strlen(texts[i][0] + (i == 2 ? 5 : 0)) + (i == 2 ? 5 : 0);
        p.contexts[0] = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL);
        CHECK_INT(mcore__tls_session_create(p.contexts[0], "service", &p.client.session), MCORE_OK);
        note(&p.client, mcore__tls_session_handshake(p.client.session, &nothing, &p.client.out));
        receive(&p.client, (mcore_slice){texts[i][0], len});
        check_failed(&p.client, texts[i][1]);
        CHECK_INT(mcore__tls_session_handshake(p.client.session, &nothing, &p.client.out),
                  MCORE_ETLS);
        stop(&p);
    }
}

TEST(a_changed_record_is_noticed) {
    tls_usual();
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL),
          tls_context(MCORE_TLS_SERVER, tls_server, NULL, NULL), "service");
    check_open(&p);
    mcore__tls_session_write(p.client.session, tls_text("pay 100"), &p.client.out);
    mcore__buffer_bytes(&p.client.out)[8] ^= 1;
    exchange(&p);
    check_failed(&p.server, "bad record mac");
    CHECK_INT(mcore__buffer_len(&p.server.plain), 0);
    CHECK_INT(p.client.status, MCORE_ETLS); /* the alert */
    size_t len;
    mcore_slice nothing = {NULL, 0};
    CHECK_INT(
        mcore__tls_session_read(p.server.session, &nothing, &p.server.out, room, sizeof room, &len),
        MCORE_ETLS);
    CHECK_INT(mcore__tls_session_write(p.server.session, tls_text("x"), &p.server.out), MCORE_ETLS);
    stop(&p);
}

TEST(the_end_is_said_by_each_side) {
    tls_usual();
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL),
          tls_context(MCORE_TLS_SERVER, tls_server, NULL, NULL), "service");
    mcore__tls_session_write(p.client.session, tls_text("last words"), &p.client.out);
    mcore__tls_session_end(p.client.session, &p.client.out);
    exchange(&p);
    CHECK_INT(mcore__buffer_len(&p.server.plain), 10);
    CHECK(mcore__tls_session_has_ended(p.server.session));
    CHECK(!mcore__tls_session_has_ended(p.client.session));
    say(&p, &p.server, &p.client, "an answer", 9); /* half a connection is one */
    mcore__tls_session_end(p.server.session, &p.server.out);
    exchange(&p);
    CHECK(mcore__tls_session_has_ended(p.client.session));
    CHECK_INT(p.client.status, MCORE_OK);
    stop(&p);
}

/* ---- ALPN, with an OpenSSL of the test's own on one side ---- */

/* A client of the test, which offers `protocols` (with lengths), or none. */
static SSL *raw_client(const char *protocols, size_t len, SSL_CTX **out_ctx) {
    SSL_CTX *ctx = *out_ctx = SSL_CTX_new(TLS_client_method());
    if (protocols) SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)protocols, (unsigned)len);
    SSL *ssl = SSL_new(ctx);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    return ssl;
}

static void drive(SSL *ssl, end *other) {
    char bytes[16384];
    for (int i = 0; i < 10 && other->status == MCORE_OK; i++) {
        SSL_do_handshake(ssl);
        int n = BIO_read(SSL_get_wbio(ssl), bytes, sizeof bytes);
        if (n > 0) receive(other, (mcore_slice){bytes, (size_t)n});
        size_t len = mcore__buffer_len(&other->out);
        if (len) BIO_write(SSL_get_rbio(ssl), mcore__buffer_bytes(&other->out), (int)len);
        mcore__buffer_consume(&other->out, len);
    }
    SSL_do_handshake(ssl);
}

TEST(a_server_chooses_by_alpn) {
    tls_usual();
    const struct {
        const char *offer;
        size_t len;
        const char *chosen; /* NULL: an alert */
    } rows[] = {
        {"\x02h2", 3, "h2"},
        {"\x08http/1.1", 9, "http/1.1"},
        {"\x08http/1.1\x02h2", 12, "h2"},
        {"\x02h3\x02h2", 6, "h2"},
        {NULL, 0, ""},
        {"\x02h3", 3, NULL},
        {"\x08http/1.0\x03h2c", 13, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mcore_tls_context *context = tls_context(MCORE_TLS_SERVER, tls_server, NULL, NULL);
        end server = {0};
        SSL_CTX *ctx;
        SSL *ssl = raw_client(rows[i].offer, rows[i].len, &ctx);
        CHECK_INT(mcore__tls_session_create(context, NULL, &server.session), MCORE_OK);
        drive(ssl, &server);
        if (rows[i].chosen) {
            CHECK_INT(server.status, MCORE_OK);
            CHECK_SLICE(security_of(&server).protocol, rows[i].chosen);
        } else {
            check_failed(&server, "no application protocol in common (ALPN)");
            CHECK_INT(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        }
        ERR_clear_error();
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        mcore__tls_session_destroy(server.session);
        mcore__buffer_free(&server.out);
        mcore__buffer_free(&server.plain);
        mcore_tls_context_release(context);
    }
}

static int choose_http1(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                        const unsigned char *in, unsigned in_len, void *ctx) {
    (void)ssl, (void)in, (void)in_len;
    if (!ctx) return SSL_TLSEXT_ERR_NOACK;
    *out = (const unsigned char *)"http/1.1";
    *out_len = 8;
    return SSL_TLSEXT_ERR_OK;
}

TEST(a_client_takes_nothing_but_http2) {
    tls_usual();
    for (int chooses = 0; chooses < 2; chooses++) {
        mcore_tls_context *context = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL);
        end client = {0};
        mcore_slice nothing = {NULL, 0};
        SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate(ctx, tls_server->x509);
        SSL_CTX_use_PrivateKey(ctx, tls_server->key);
        SSL_CTX_set_alpn_select_cb(ctx, choose_http1, chooses ? ctx : NULL);
        SSL *ssl = SSL_new(ctx);
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(ssl);
        CHECK_INT(mcore__tls_session_create(context, "service", &client.session), MCORE_OK);
        note(&client, mcore__tls_session_handshake(client.session, &nothing, &client.out));
        for (int i = 0; i < 4; i++) {
            size_t len = mcore__buffer_len(&client.out);
            if (len) BIO_write(SSL_get_rbio(ssl), mcore__buffer_bytes(&client.out), (int)len);
            mcore__buffer_consume(&client.out, len);
            drive(ssl, &client);
        }
        CHECK_INT(client.status, MCORE_ETLS);
        if (!chooses) check_failed(&client, "the server does not speak HTTP/2");
        CHECK(!mcore__tls_session_is_open(client.session));
        ERR_clear_error();
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        mcore__tls_session_destroy(client.session);
        mcore__buffer_free(&client.out);
        mcore__buffer_free(&client.plain);
        mcore_tls_context_release(context);
    }
}

static mcore_slice named_protocol;

static void name_protocol(mcore_tls_options *options) { options->protocol = named_protocol; }

static mcore_tls_context *context_for(uint32_t role, const char *protocol) {
    int is_server = role == MCORE_TLS_SERVER;
    named_protocol = tls_text(protocol);
    return tls_context(role, is_server ? tls_server : NULL, is_server ? NULL : tls_ca,
                       name_protocol);
}

TEST(a_protocol_that_is_named_has_to_be_agreed_on) {
    tls_usual();
    static char longest[256];
    memset(longest, 'x', 255);
    const struct {
        const char *server, *client;
        int agreed;
    } rows[] = {
        {"micro-message", "micro-message", 1},
        {longest, longest, 1},
        {"micro-message", "micro", 0},
        {"micro-message", NULL, 0},
        {NULL, "micro-message", 0},
        {NULL, "http/1.1", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pair p = {0};
        start(&p, context_for(MCORE_TLS_CLIENT, rows[i].client),
              context_for(MCORE_TLS_SERVER, rows[i].server), "service");
        if (rows[i].agreed) {
            check_open(&p);
            CHECK_SLICE(security_of(&p.server).protocol, rows[i].client);
            CHECK_SLICE(security_of(&p.client).protocol, rows[i].client);
        } else {
            check_failed(&p.server, "no application protocol in common (ALPN)");
            CHECK_INT(p.client.status, MCORE_ETLS);
        }
        stop(&p);
    }
}

static void name_none(mcore_tls_options *options) { options->no_protocol = 1; }

TEST(a_client_can_do_without_a_protocol) {
    tls_usual();
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, name_none),
          context_for(MCORE_TLS_SERVER, NULL), "service");
    check_open(&p);
    CHECK_SLICE(security_of(&p.server).protocol, "");
    CHECK_SLICE(security_of(&p.client).protocol, "");
    stop(&p);
    mcore_tls_material material = {.struct_size = sizeof material};
    for (int i = 0; i < 2; i++) {
        mcore_tls_options options;
        mcore_tls_context *context;
        char detail[256];
        mcore_tls_options_default(i ? MCORE_TLS_CLIENT : MCORE_TLS_SERVER, &options);
        options.material = &material;
        options.no_protocol = 1;
        if (i) options.protocol = tls_text("http/1.1");
        CHECK_INT(mcore_tls_context_create(&options, &context, detail, sizeof detail),
                  MCORE_EINVAL);
        CHECK_SLICE(mcore_slice_of(detail),
                    "options: no_protocol is for clients, and without a protocol");
    }
}

TEST(a_client_that_names_no_protocol_is_not_one_of_ours) {
    tls_usual();
    mcore_tls_context *context = context_for(MCORE_TLS_SERVER, "micro-message");
    end server = {0};
    SSL_CTX *ctx;
    SSL *ssl = raw_client(NULL, 0, &ctx);
    CHECK_INT(mcore__tls_session_create(context, NULL, &server.session), MCORE_OK);
    drive(ssl, &server);
    check_failed(&server, "the peer did not agree on the protocol \"micro-message\" by ALPN");
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    mcore__tls_session_destroy(server.session);
    mcore__buffer_free(&server.out);
    mcore__buffer_free(&server.plain);
    mcore_tls_context_release(context);
}

/* ---- Names ---- */

typedef struct name_row {
    const char *san, *address;
    int good;
} name_row;

static const char *name_expected;
static void expect_name(mcore_tls_options *options) {
    options->server_name = tls_text(name_expected);
}

static void check_name(const name_row *row) {
    tls_cert *cert = tls_issue((tls_spec){.name = "db.example", .san = row->san, .issuer = tls_ca});
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, name_expected ? expect_name : NULL),
          tls_context(MCORE_TLS_SERVER, cert, NULL, NULL), row->address);
    if (!row->good != (p.client.status == MCORE_ETLS))
        fprintf(stderr, "\"%s\" for \"%s\"\n", row->san ? row->san : "-", row->address);
    if (row->good) {
        check_open(&p);
    } else {
        check_failed(&p.client, "is not for ");
        check_failed(&p.server, "the peer refused our certificate");
    }
    stop(&p);
    tls_cert_free(cert);
}

TEST(a_certificate_has_to_be_for_the_name) {
    tls_usual();
    const name_row rows[] = {
        {"DNS:db.example", "db.example:80", 1},
        {"DNS:DB.Example", "db.eXample:80", 1},
        {"DNS:db.example", "db.example.:80", 1},
        {"DNS:*.example", "db.example:80", 0}, /* a wildcard below a top-level name */
        {"DNS:*.db.example", "a.db.example:80", 1},
        {"DNS:*.db.example", "b.a.db.example:80", 0},
        {"DNS:*.db.example", "db.example:80", 0},
        {"DNS:a*.db.example", "ab.db.example:80", 0},
        {"DNS:a.*.example", "a.db.example:80", 0},
        {NULL, "db.example:80", 0}, /* the common name is not looked at */
        {"URI:spiffe://x/db", "db.example:80", 0},
        {"DNS:db.example.org", "db.example:80", 0},
        {"DNS:127.0.0.1", "127.0.0.1:80", 0},
        {"IP:127.0.0.1", "127.0.0.1:80", 1},
        {"IP:127.0.0.1", "127.0.0.2:80", 0},
        {"IP:::1", "[::1]:80", 1},
        {"IP:::1", "[::2]:80", 0},
        {"IP:::1", "::1", 1},
        {"DNS:x.example,DNS:db.example", "db.example", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) check_name(&rows[i]);
}

TEST(the_expected_name_can_be_given) {
    tls_usual();
    name_expected = "db.example";
    const name_row rows[] = {
        {"DNS:db.example", "10.0.0.7:80", 1},
        {"DNS:db.example", "/run/db.sock", 1},
        {"DNS:other.example", "other.example:80", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) check_name(&rows[i]);
    name_expected = NULL;
    mcore_tls_context *context = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL);
    mcore__tls_session *session;
    const char *bad[] = {"/run/db.sock", "@abstract", "", ":80", "[::1", "two words:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(mcore__tls_session_create(context, bad[i], &session), MCORE_EINVAL);
    mcore_tls_context_release(context);
}

/* A name with a NUL inside, for those who read C strings. */
TEST(a_name_is_not_read_up_to_its_nul) {
    tls_usual();
    tls_cert *cert = tls_issue((tls_spec){.name = "x", .san = NULL, .issuer = tls_ca});
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    static const char evil[] = "db.example\0.evil.example";
    ASN1_STRING_set(text, evil, sizeof evil - 1);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, name);
    X509_add1_ext_i2d(cert->x509, NID_subject_alt_name, names, 0, 0);
    X509_sign(cert->x509, tls_ca->key, EVP_sha256());
    GENERAL_NAMES_free(names);
    tls_pem(cert->pem, sizeof cert->pem, cert->x509, NULL);
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL),
          tls_context(MCORE_TLS_SERVER, cert, NULL, NULL), "db.example");
    check_failed(&p.client, "certificate of db.example?.evil.example is not for db.example");
    stop(&p);
    tls_cert_free(cert);
}

/* ---- Certificates that are no good ---- */

typedef struct bad_row {
    tls_spec spec;
    const char *says;
} bad_row;

TEST(a_client_says_what_is_wrong_with_a_server) {
    tls_usual();
    tls_cert *stranger = tls_authority("Stranger CA");
    tls_cert *leaf_as_issuer = tls_issue((tls_spec){.name = "leaf", .issuer = tls_ca});
    const bad_row rows[] = {
        {{.from_s = -9 * TLS_DAY, .until_s = -1, .issuer = tls_ca},
         "certificate of service expired on 20"},
        {{.from_s = TLS_DAY, .until_s = 2 * TLS_DAY, .issuer = tls_ca},
         "certificate of service is not valid before 20"},
        {{.issuer = NULL}, "certificate of service signed itself, and we don't trust it"},
        {{.issuer = stranger}, "certificate of service was issued by CN=Stranger CA, whom we"},
        {{.issuer = leaf_as_issuer}, "was issued by CN=leaf, whom we"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tls_spec spec = rows[i].spec;
        spec.name = "service";
        spec.san = "DNS:service";
        tls_cert *cert = tls_issue(spec);
        pair p = {0};
        start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL),
              tls_context(MCORE_TLS_SERVER, cert, NULL, NULL), "service");
        check_failed(&p.client, rows[i].says);
        CHECK_INT(p.server.status, MCORE_ETLS);
        stop(&p);
        tls_cert_free(cert);
    }
    tls_cert_free(leaf_as_issuer);
    tls_cert_free(stranger);
}

TEST(a_server_says_what_is_wrong_with_a_client) {
    tls_usual();
    tls_cert *stranger = tls_authority("Stranger CA");
    const bad_row rows[] = {
        {{.from_s = -9 * TLS_DAY, .until_s = -1, .issuer = tls_ca}, "expired on 20"},
        {{.from_s = TLS_DAY, .until_s = 2 * TLS_DAY, .issuer = tls_ca}, "is not valid before 20"},
        {{.issuer = NULL}, "signed itself, and we don't trust it"},
        {{.issuer = stranger}, "was issued by CN=Stranger CA, whom we don't trust"},
        {{.issuer = tls_ca, .is_authority = 1}, "an authority may sign, not connect"},
        {{.name = NULL}, "the client sent no certificate"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tls_spec spec = rows[i].spec;
        int none = i == sizeof rows / sizeof rows[0] - 1;
        spec.name = "web";
        spec.san = "DNS:web.example";
        tls_cert *cert = none ? NULL : tls_issue(spec);
        for (int version = 0; version < 2; version++) {
            pair p = {0};
            start(&p, tls_context(MCORE_TLS_CLIENT, cert, tls_ca, version ? only_1_2 : NULL),
                  tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, NULL), "service");
            check_failed(&p.server, rows[i].says);
            CHECK_INT(mcore__buffer_len(&p.server.plain), 0);
            CHECK_INT(p.client.status, MCORE_ETLS); /* the alert has arrived */
            if (none && !version) check_failed(&p.client, "the peer wants a certificate of ours");
            stop(&p);
        }
        tls_cert_free(cert);
    }
    tls_cert_free(stranger);
}

/* Ours are told of when they are read; a foreign client has no such scruples. */
static void present(SSL_CTX *ctx, const tls_cert *cert) {
    SSL_CTX_set_security_level(ctx, 0);
    CHECK(SSL_CTX_use_certificate(ctx, cert->x509) == 1);
    CHECK(SSL_CTX_use_PrivateKey(ctx, cert->key) == 1);
}

TEST(a_server_refuses_weak_and_misused_certificates) {
    tls_usual();
    const bad_row rows[] = {
        {{.usage = "serverAuth"}, "may not be used by a client (its key usage)"},
        {{.rsa_bits = 1024}, "key too weak"},
        {{.digest = "SHA1"}, "too weak"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tls_spec spec = rows[i].spec;
        spec.name = "web";
        spec.issuer = tls_ca;
        tls_cert *cert = tls_issue(spec);
        mcore_tls_context *context = tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, NULL);
        end server = {0};
        SSL_CTX *ctx;
        SSL *unused = raw_client(NULL, 0, &ctx);
        SSL_free(unused);
        present(ctx, cert);
        SSL *ssl = SSL_new(ctx);
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(ssl);
        CHECK_INT(mcore__tls_session_create(context, NULL, &server.session), MCORE_OK);
        drive(ssl, &server);
        check_failed(&server, rows[i].says);
        ERR_clear_error();
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        mcore__tls_session_destroy(server.session);
        mcore__buffer_free(&server.out);
        mcore_tls_context_release(context);
        tls_cert_free(cert);
    }
}

/* ---- Who the peer is ---- */

TEST(the_peer_is_known_when_its_certificate_was_verified) {
    tls_usual();
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, NULL),
          tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, NULL), "service");
    check_open(&p);
    mcore_security security = security_of(&p.server);
    CHECK_SLICE(security.peer_subject, "CN=a client");
    CHECK_INT(security.peer_uri_count, 1);
    CHECK_SLICE(security.peer_uris[0], "spiffe://test/web");
    CHECK_INT(security.peer_name_count, 1);
    CHECK_SLICE(security.peer_names[0], "web.example");
    CHECK(security.peer_uris == security_of(&p.server).peer_uris);
    mcore_security small = {.struct_size = 8};
    CHECK_INT(mcore__tls_session_security(p.server.session, &small), MCORE_OK);
    CHECK(small.version.len == 0);
    stop(&p);
}

/* ---- Resumption and reload ---- */

static void again(pair *p, const char *address) {
    pair next = {0};
    mcore_tls_context_retain(p->contexts[0]);
    mcore_tls_context_retain(p->contexts[1]);
    start(&next, p->contexts[0], p->contexts[1], address);
    stop(p);
    *p = next;
}

TEST(sessions_are_resumed_until_a_reload) {
    tls_usual();
    void (*changes[])(mcore_tls_options *) = {only_1_2, only_1_3};
    for (int i = 0; i < 2; i++) {
        pair p = {0};
        start(&p, tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, changes[i]),
              tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, NULL), "service:1");
        converse(&p);
        CHECK_INT(security_of(&p.client).resumed, 0);
        again(&p, "service:1");
        converse(&p);
        CHECK_INT(security_of(&p.client).resumed, 1);
        CHECK_INT(security_of(&p.server).resumed, 1);
        CHECK_SLICE(security_of(&p.server).peer_subject, "CN=a client"); /* it is still known */
        CHECK_INT(tls_stats(p.contexts[1]).resumed, 1);
        again(&p, "service:2"); /* another server */
        converse(&p);
        CHECK_INT(security_of(&p.client).resumed, 0);

        char detail[256];
        mcore_tls_material material = tls_material(tls_server, tls_ca);
        CHECK_INT(mcore_tls_context_reload(p.contexts[1], &material, detail, sizeof detail),
                  MCORE_OK);
        CHECK_INT(tls_stats(p.contexts[1]).generation, 2);
        converse(&p); /* goes on */
        again(&p, "service:2");
        converse(&p);
        CHECK_INT(security_of(&p.server).resumed, 0);
        material = tls_material(tls_client, tls_ca);
        CHECK_INT(mcore_tls_context_reload(p.contexts[0], &material, detail, sizeof detail),
                  MCORE_OK);
        again(&p, "service:2");
        converse(&p);
        CHECK_INT(security_of(&p.client).resumed, 0);
        stop(&p);
    }
}

/* A network that breaks makes nobody a suspect; a peer that breaks the protocol does. */
TEST(a_session_outlives_a_connection_that_was_cut) {
    tls_usual();
    for (int broken = 0; broken < 2; broken++) {
        pair first = {0}, second = {0};
        start(&first, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL),
              tls_context(MCORE_TLS_SERVER, tls_server, NULL, NULL), "service");
        check_open(&first);
        if (broken) {
            mcore__tls_session_write(first.server.session, tls_text("hello"), &first.server.out);
            mcore__buffer_bytes(&first.server.out)[8] ^= 1;
            exchange(&first);
            CHECK_INT(first.client.status, MCORE_ETLS);
        }
        mcore_tls_context *contexts[2] = {first.contexts[0], first.contexts[1]};
        mcore_tls_context_retain(contexts[0]);
        mcore_tls_context_retain(contexts[1]);
        stop(&first);
        start(&second, contexts[0], contexts[1], "service");
        converse(&second);
        CHECK_INT(security_of(&second.server).resumed, !broken);
        stop(&second);
    }
}

/* Whom the new authority does not know does not get in with a ticket from before. */
TEST(a_session_does_not_outlive_its_authority) {
    tls_usual();
    tls_cert *other = tls_authority("Other CA");
    pair p = {0};
    char detail[256];
    start(&p, tls_context(MCORE_TLS_CLIENT, tls_client, tls_ca, NULL),
          tls_context(MCORE_TLS_SERVER, tls_server, tls_ca, NULL), "service");
    converse(&p);
    mcore_tls_material material = tls_material(tls_server, other);
    CHECK_INT(mcore_tls_context_reload(p.contexts[1], &material, detail, sizeof detail), MCORE_OK);
    again(&p, "service");
    check_failed(&p.server, "was issued by CN=Test CA, whom we don't trust");
    stop(&p);
    tls_cert_free(other);
}

/* ---- Contexts ---- */

static mcore_status try_context(uint32_t role, const mcore_tls_material *material,
                                void (*change)(mcore_tls_options *), char *detail, size_t size) {
    mcore_tls_options options;
    mcore_tls_context *context = NULL;
    mcore_tls_options_default(role, &options);
    options.material = material;
    if (change) change(&options);
    mcore_status status = mcore_tls_context_create(&options, &context, detail, size);
    mcore_tls_context_release(status == MCORE_OK ? context : NULL);
    return status;
}

static void check_refused(uint32_t role, mcore_tls_material material, mcore_status status,
                          const char *says) {
    char detail[320];
    CHECK_INT(try_context(role, &material, NULL, detail, sizeof detail), status);
    if (!strstr(detail, says)) fprintf(stderr, "it says: \"%s\"\n", detail);
    CHECK(strstr(detail, says));
    CHECK_INT(try_context(role, &material, NULL, NULL, 0), status);
}

TEST(bad_material_is_refused_with_its_reason) {
    tls_usual();
    tls_cert *other = tls_issue((tls_spec){.name = "other", .san = "DNS:other"});
    tls_cert *weak = tls_issue((tls_spec){.name = "weak", .san = "DNS:weak", .rsa_bits = 1024});
    mcore_tls_material m = tls_material(NULL, NULL);
    check_refused(MCORE_TLS_SERVER, m, MCORE_EINVAL, "a server needs a certificate and its key");
    m.certificate = tls_text(tls_server->pem);
    check_refused(MCORE_TLS_SERVER, m, MCORE_EINVAL, "a certificate without a key");
    m.key = tls_text(other->key_pem);
    check_refused(MCORE_TLS_SERVER, m, MCORE_ETLS, "key does not belong to certificate");
    m.key = tls_text("-----BEGIN nothing");
    check_refused(MCORE_TLS_SERVER, m, MCORE_ETLS, "key: no private key in it (PEM)");
    m.certificate = tls_text(tls_server->key_pem);
    check_refused(MCORE_TLS_SERVER, m, MCORE_ETLS, "certificate: no certificate in it (PEM)");
    m.certificate = tls_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    check_refused(MCORE_TLS_SERVER, m, MCORE_ETLS, "certificate: ");
    check_refused(MCORE_TLS_SERVER, tls_material(weak, NULL), MCORE_ETLS,
                  "certificate of weak: ee key too small");
    check_refused(MCORE_TLS_SERVER, tls_material(tls_client, NULL), MCORE_ETLS,
                  "certificate of web.example may not be used by a server");
    check_refused(MCORE_TLS_CLIENT, tls_material(tls_server, NULL), MCORE_ETLS,
                  "certificate of service may not be used by a client");
    m = tls_material(tls_server, tls_ca);
    check_refused(MCORE_TLS_SERVER, m, MCORE_EINVAL, "but none are required");
    m = tls_material(NULL, NULL);
    m.ca = tls_text("nonsense");
    check_refused(MCORE_TLS_CLIENT, m, MCORE_ETLS, "CA: no certificate in it (PEM)");
    m.ca = tls_text(NULL);
    m.ca_file = tls_text("/nonexistent/ca.pem");
    check_refused(MCORE_TLS_CLIENT, m, MCORE_ENOENT, "CA file /nonexistent/ca.pem: not found");
    m.ca_file = tls_text("/tmp");
    check_refused(MCORE_TLS_CLIENT, m, MCORE_EIO, "CA file /tmp: ");
    m.ca = tls_text(tls_ca->pem);
    check_refused(MCORE_TLS_CLIENT, m, MCORE_EINVAL, "CA file /tmp: given as a text too");
    tls_cert_free(other);
    tls_cert_free(weak);
}

static void no_role(mcore_tls_options *o) { o->role = 3; }
static void odd_versions(mcore_tls_options *o) { o->version_min = 11; }
static void crossed_versions(mcore_tls_options *o) {
    o->version_min = MCORE_TLS_1_3;
    o->version_max = MCORE_TLS_1_2;
}
static void no_time(mcore_tls_options *o) { o->handshake_timeout_ms = 0; }
static void many_sessions(mcore_tls_options *o) { o->sessions_max = 1u << 30; }
static void nul_name(mcore_tls_options *o) { o->server_name = (mcore_slice){"a\0b", 3}; }
static void server_things(mcore_tls_options *o) { o->allow_plaintext = 1; }
static void require(mcore_tls_options *o) {
    o->role = MCORE_TLS_SERVER;
    o->client_certificates = 1;
}

TEST(bad_options_are_refused) {
    tls_usual();
    char detail[256];
    mcore_tls_material material = tls_material(NULL, NULL);
    void (*changes[])(mcore_tls_options *) = {no_role,  odd_versions,  crossed_versions, no_time,
                                              nul_name, many_sessions, server_things,    require};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        CHECK_INT(try_context(MCORE_TLS_CLIENT, &material, changes[i], detail, sizeof detail),
                  MCORE_EINVAL);
        CHECK(detail[0]);
    }
    CHECK_INT(mcore_tls_context_create(NULL, NULL, NULL, 0), MCORE_EINVAL);
    CHECK_INT(mcore_tls_context_reload(NULL, NULL, NULL, 0), MCORE_EINVAL);
    CHECK(!mcore_tls_transport(NULL, NULL));
    mcore_tls_context_release(NULL);
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

TEST(files_are_read_again_and_a_bad_pair_changes_nothing) {
    tls_usual();
    char folder[] = "/tmp/mcore-tls-XXXXXX", cert[64], key[64], detail[320];
    CHECK(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    write_file(cert, tls_server->pem);
    write_file(key, tls_server->key_pem);
    mcore_tls_material material = {.struct_size = sizeof material,
                                   .certificate_file = tls_text(cert),
                                   .key_file = tls_text(key)};
    mcore_tls_options options;
    mcore_tls_options_default(MCORE_TLS_SERVER, &options);
    options.material = &material;
    mcore_tls_context *server;
    CHECK_INT(mcore_tls_context_create(&options, &server, detail, sizeof detail), MCORE_OK);
    CHECK_INT(detail[0], 0);

    tls_cert *next = tls_issue((tls_spec){
        .name = "next", .san = "DNS:service", .issuer = tls_ca, .from_s = -9, .until_s = -1});
    write_file(cert, next->pem);
    CHECK_INT(mcore_tls_context_reload(server, NULL, detail, sizeof detail), MCORE_ETLS);
    CHECK(strstr(detail, "/key.pem does not belong to certificate file /tmp/mcore-tls-"));
    CHECK_INT(tls_stats(server).generation, 1);
    pair p = {0};
    start(&p, tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, NULL), server, "service");
    converse(&p);

    write_file(key, next->key_pem);
    CHECK_INT(mcore_tls_context_reload(server, NULL, detail, sizeof detail), MCORE_OK);
    CHECK(strstr(detail, "certificate of service expired on 20")); /* a warning */
    CHECK_INT(tls_stats(server).generation, 2);
    converse(&p);
    again(&p, "service");
    check_failed(&p.client, "certificate of service expired on 20");
    unlink(key);
    CHECK_INT(mcore_tls_context_reload(server, NULL, detail, sizeof detail), MCORE_ENOENT);
    CHECK_INT(tls_stats(server).generation, 2);
    stop(&p);
    unlink(cert);
    rmdir(folder);
    tls_cert_free(next);
}

static int released;
static void on_released(void *ctx) { ++*(int *)ctx; }
static void count_release(mcore_tls_options *o) {
    o->on_released = on_released;
    o->ctx = &released;
}

TEST(the_last_user_of_a_context_ends_it) {
    tls_usual();
    released = 0;
    mcore_tls_context *context = tls_context(MCORE_TLS_CLIENT, NULL, tls_ca, count_release);
    mcore__tls_session *session;
    CHECK_INT(mcore__tls_session_create(context, "service", &session), MCORE_OK);
    mcore_tls_context_release(context);
    CHECK_INT(released, 0);
    mcore__tls_session_destroy(session);
    CHECK_INT(released, 1);
}

/* ---- Failing allocations of the core ---- */

static long until_failure, live;

static void *failing_alloc(void *self, size_t size) {
    (void)self;
    if (--until_failure == 0) return NULL;
    live++;
    return malloc(size);
}
static void *failing_resize(void *self, void *ptr, size_t size) {
    (void)self;
    if (--until_failure == 0) return NULL;
    live += !ptr;
    return realloc(ptr, size);
}
static void failing_release(void *self, void *ptr) {
    (void)self;
    live -= ptr != NULL;
    free(ptr);
}

/* Contexts, a handshake and a few bytes, as far as memory allows. 1: nothing failed. */
static int live_through(void) {
    mcore_tls_options options;
    mcore_tls_material client = tls_material(tls_client, tls_ca);
    mcore_tls_material server = tls_material(tls_server, tls_ca);
    pair p = {0};
    mcore_slice nothing = {NULL, 0};
    char detail[64];
    mcore_tls_options_default(MCORE_TLS_CLIENT, &options);
    options.material = &client;
    options.server_name = tls_text("service");
    mcore_status status = mcore_tls_context_create(&options, &p.contexts[0], detail, sizeof detail);
    mcore_tls_options_default(MCORE_TLS_SERVER, &options);
    options.material = &server;
    options.client_certificates = 1;
    if (status == MCORE_OK)
        status = mcore_tls_context_create(&options, &p.contexts[1], detail, sizeof detail);
    if (status == MCORE_OK) {
        status = mcore_tls_context_reload(p.contexts[1], &server, detail, sizeof detail);
        if (status != MCORE_OK && tls_stats(p.contexts[1]).generation != 1) return -1;
    }
    if (status == MCORE_OK)
        status = mcore__tls_session_create(p.contexts[0], "x", &p.client.session);
    if (status == MCORE_OK)
        status = mcore__tls_session_create(p.contexts[1], NULL, &p.server.session);
    if (status == MCORE_OK)
        status = mcore__tls_session_handshake(p.client.session, &nothing, &p.client.out);
    if (status == MCORE_OK) {
        exchange(&p);
        status = p.client.status ? p.client.status : p.server.status;
    }
    if (status == MCORE_OK) {
        mcore_security security = {.struct_size = sizeof security};
        status = mcore__tls_session_security(p.server.session, &security);
    }
    if (status == MCORE_OK)
        status = mcore__tls_session_write(p.client.session, tls_text("hi"), &p.client.out);
    if (p.client.session && p.server.session) {
        mcore__tls_session_end(p.client.session, &p.client.out);
    }
    stop(&p);
    return status == MCORE_OK;
}

TEST(every_failed_allocation_is_survived) {
    tls_usual();
    mcore_allocator failing = {NULL, failing_alloc, failing_resize, failing_release};
    int whole = 0;
    long n;
    for (n = 1; whole != 1; n++) {
        CHECK(n < 500);
        until_failure = n;
        live = 0;
        mcore_set_allocator(&failing);
        whole = live_through();
        mcore_set_allocator(NULL);
        CHECK(whole >= 0);
        CHECK_INT(live, 0);
        if (n > 20 && whole == 1) break;
    }
    CHECK(n > 20);
}

int main(int argc, char **argv) {
    int failed = test_main(argc, argv);
    tls_usual_free();
    return failed;
}
