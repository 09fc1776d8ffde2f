#include "mcore/http_get.h"

#include "base/memory.h"
#include "frame/http1.h"
#include "loop/loop_internal.h"
#include "mcore/transport.h"

#include <stdio.h>
#include <string.h>

enum { ETAG_BYTES_MAX = 256, TEXT_BYTES = 256 };

struct mcore_http_get {
    mcore_loop *loop;
    const mcore_transport_plugin *plugin;
    void *transport;
    mcore_conn *conn;
    mcore__h1_parser *parser;
    mcore__buffer request, body;
    char etag[ETAG_BYTES_MAX];
    size_t etag_len;
    uint32_t http_status;
    int is_complete, is_closing;
    mcore__timer timer;
    mcore__later end;
    mcore_status why;
    char text[TEXT_BYTES];
    mcore_http_get_done done;
    void *ctx;
};

/* ---- The end ---- */

static void free_get(mcore_http_get *get) {
    mcore__timer_stop(get->loop, &get->timer);
    if (get->transport) get->plugin->destroy(get->transport);
    mcore__h1_parser_destroy(get->parser);
    mcore__buffer_free(&get->request);
    mcore__buffer_free(&get->body);
    mcore__free(get);
}

static void end(void *ctx) {
    mcore_http_get *get = ctx;
    mcore_http_answer answer = {.struct_size = sizeof answer,
                                .status = get->http_status,
                                .etag = {get->etag, get->etag_len},
                                .body = {"", 0}};
    if (mcore__buffer_len(&get->body))
        answer.body = (mcore_slice){mcore__buffer_bytes(&get->body), mcore__buffer_len(&get->body)};
    if (get->is_complete)
        get->done(get->ctx, MCORE_OK, &answer, "");
    else
        get->done(get->ctx, get->why, NULL, get->text);
    free_get(get);
}

static void close_conn(mcore_http_get *get) {
    if (get->is_closing) return;
    get->is_closing = 1;
    mcore__timer_stop(get->loop, &get->timer);
    get->plugin->close(get->conn, 1);
}

static void fail(mcore_http_get *get, mcore_status why, const char *text) {
    if (!get->is_complete && get->why == MCORE_OK) {
        get->why = why;
        snprintf(get->text, sizeof get->text, "%s", text);
    }
    close_conn(get);
}

static void on_timer(void *ctx) { fail(ctx, MCORE_ETIMEDOUT, "no answer in time"); }

void mcore_http_get_cancel(mcore_http_get *get) { fail(get, MCORE_ECANCELED, "cancelled"); }

/* ---- The answer ---- */

static void take_head(mcore_http_get *get, const mcore__h1_head *head) {
    get->http_status = head->status;
    for (size_t i = 0; i < head->field_count; i++) {
        const mcore__field *field = &head->fields[i];
        if (field->name.len != 4 || memcmp(field->name.data, "etag", 4) != 0 ||
            field->value.len > sizeof get->etag)
            continue;
        memcpy(get->etag, field->value.data, field->value.len);
        get->etag_len = field->value.len;
    }
}

static void take_event(mcore_http_get *get, mcore__h1_event event, const mcore__h1_result *result) {
    switch (event) {
    case MCORE__H1_HEAD:
        take_head(get, &result->head);
        break;
    case MCORE__H1_BODY:
        if (mcore__buffer_append(&get->body, result->body.data, result->body.len))
            fail(get, MCORE_ENOMEM, "no memory for the answer");
        break;
    case MCORE__H1_END:
        if (get->http_status < 200) break; /* the real one follows */
        get->is_complete = 1;
        close_conn(get);
        break;
    case MCORE__H1_ERROR:
        fail(get,
             result->error_status == 503                                  ? MCORE_ENOMEM
             : result->error_status == 413 || result->error_status == 431 ? MCORE_ELIMIT
                                                                          : MCORE_EPROTO,
             result->error);
        break;
    case MCORE__H1_MORE:
        break;
    }
}

/* TLS knows whether an end was meant to be one. */
static int is_cut_off(const mcore_http_get *get) {
    mcore_security security = {.struct_size = sizeof security};
    return MCORE_HAS(mcore_transport_plugin, get->plugin, security) &&
           get->plugin->security(get->conn, &security) == MCORE_OK && security.truncated;
}

static void take_end(mcore_http_get *get) {
    mcore__h1_result result = {0};
    mcore__h1_event event = mcore__h1_end_of_input(get->parser, &result);
    if (event == MCORE__H1_END && is_cut_off(get))
        fail(get, MCORE_EPROTO, "the connection was cut off inside of the answer");
    else if (event == MCORE__H1_MORE)
        fail(get, MCORE_ECONNRESET, "the server ended the connection without an answer");
    else
        take_event(get, event, &result);
}

/* ---- The connection ---- */

/* Why it did not come about, in the transport's own words if it has some. */
static void fail_conn(mcore_http_get *get, mcore_status why) {
    char text[TEXT_BYTES];
    size_t len = sizeof text - 1;
    if (!MCORE_HAS(mcore_transport_plugin, get->plugin, failure_text) ||
        get->plugin->failure_text(get->conn, text, &len) != MCORE_OK)
        len = 0;
    text[len] = 0;
    if (get->is_complete || get->why != MCORE_OK) return;
    get->why = why == MCORE_OK ? MCORE_ECONNRESET : why;
    snprintf(get->text, sizeof get->text, "%s", len ? text : mcore_status_text(get->why));
}

static void on_open(void *ctx, mcore_conn *conn, mcore_status status) {
    mcore_http_get *get = ctx;
    (void)conn;
    if (status) fail_conn(get, status); /* on_closed follows */
}

static void on_data(void *ctx, mcore_conn *conn, const mcore_slice *v, uint32_t n) {
    mcore_http_get *get = ctx;
    (void)conn;
    if (n == 0 && !get->is_closing) take_end(get);
    for (uint32_t i = 0; i < n; i++) {
        mcore_slice input = v[i];
        mcore__h1_event event;
        mcore__h1_result result;
        do {
            if (get->is_closing) return;
            event = mcore__h1_next(get->parser, &input, &result);
            take_event(get, event, &result);
        } while (event != MCORE__H1_MORE);
    }
}

static void on_sent(void *ctx, mcore_conn *conn, uint64_t op, mcore_status status) {
    (void)ctx, (void)conn, (void)op, (void)status; /* when it failed, the connection ends */
}

static void on_closed(void *ctx, mcore_conn *conn, mcore_status why) {
    mcore_http_get *get = ctx;
    (void)conn;
    fail_conn(get, why);
    get->is_closing = 1; /* who cancels from now on finds no connection */
    mcore__timer_stop(get->loop, &get->timer);
    mcore__later_mark(get->loop, &get->end);
}

static const mcore_transport_events events = {.struct_size = sizeof events,
                                              .on_open = on_open,
                                              .on_data = on_data,
                                              .on_sent = on_sent,
                                              .on_closed = on_closed};

/* ---- The request ---- */

static mcore_status write_request(mcore_http_get *get, const mcore_http_request *request) {
    mcore__field fields[] = {
        {.name = {"accept", 6}, .value = {"application/json", 16}},
        {.name = {"if-none-match", 13}, .value = request->etag},
    };
    return mcore__h1_write_get(&get->request, request->target, request->host, fields,
                               request->etag.len ? 2 : 1);
}

static mcore_status begin(mcore_http_get *get, const mcore_http_request *request) {
    mcore__h1_limits limits = {.target_bytes_max = 1024,
                               .header_list_bytes_max = 32 << 10,
                               .header_count_max = 128,
                               .body_bytes_max = request->body_bytes_max};
    mcore_status status = mcore__h1_response_parser_create(&limits, &get->parser);
    if (!status) status = write_request(get, request);
    if (!status)
        status = mcore_transport_create(get->plugin, mcore_loop_host(get->loop), NULL, 0,
                                        &get->transport);
    if (!status)
        status = get->plugin->connect(get->transport, request->address, request->timeout_ms,
                                      &events, get, &get->conn);
    return status;
}

mcore_status mcore_http_get_start(mcore_loop *loop, const mcore_transport_plugin *transport,
                                  const mcore_http_request *request, mcore_http_get_done done,
                                  void *ctx, mcore_http_get **out_get) {
    if (request->struct_size < sizeof *request || !request->address || !request->timeout_ms ||
        request->timeout_ms > UINT32_MAX)
        return MCORE_EINVAL;
    mcore_http_get *get = mcore__zalloc(sizeof *get);
    if (!get) return MCORE_ENOMEM;
    get->loop = loop;
    get->plugin = transport;
    get->done = done;
    get->ctx = ctx;
    mcore__timer_init(&get->timer, on_timer, get);
    mcore__later_init(&get->end, end, get);
    mcore_status status = begin(get, request);
    if (status) {
        free_get(get);
        return status;
    }
    mcore__timer_start(loop, &get->timer, request->timeout_ms * UINT64_C(1000000));
    mcore_slice bytes = {mcore__buffer_bytes(&get->request), mcore__buffer_len(&get->request)};
    /* An error here is one that on_closed tells about, too; or there is no memory. */
    if (transport->send(get->conn, 0, &bytes, 1) == MCORE_ENOMEM)
        fail(get, MCORE_ENOMEM, "no memory for the request");
    *out_get = get;
    return MCORE_OK;
}
