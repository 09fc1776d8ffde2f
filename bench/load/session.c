#include "load.h"

#include <string.h>

enum { STREAM_WINDOW = 4 << 20, CONNECTION_WINDOW = 64 << 20 };

static nghttp2_session_callbacks *callbacks;
static nghttp2_option *session_options;

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
    (void)session, (void)id, (void)user;
    call *c = source->ptr;
    size_t len = the_load.request_len - c->sent;
    if (len == 0) {
        c->deferred = 1;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (len > room) len = room;
    memcpy(out, the_load.request + c->sent, len);
    c->sent += len;
    if (c->sent == the_load.request_len && !traffic_is_conversation())
        *flags = NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static int number_of(const uint8_t *digits, size_t len) {
    int number = 0;
    for (size_t i = 0; i < len && i < 4; i++) {
        if (digits[i] < '0' || digits[i] > '9') return -1;
        number = number * 10 + digits[i] - '0';
    }
    return len > 0 ? number : -1;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user) {
    (void)flags, (void)user;
    int is_http = name_len == 7 && memcmp(name, ":status", 7) == 0;
    int is_grpc = name_len == 11 && memcmp(name, "grpc-status", 11) == 0;
    if (!is_http && !is_grpc) return 0;
    call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (c && is_http) c->answer.http_status = number_of(value, value_len);
    if (c && is_grpc) c->answer.grpc_status = number_of(value, value_len);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user) {
    (void)flags, (void)user;
    call *c = nghttp2_session_get_stream_user_data(session, id);
    if (c) traffic_data(c, data, len);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *user) {
    (void)user;
    call *c = nghttp2_session_get_stream_user_data(session, id);
    if (c) traffic_ended(c, error_code);
    return 0;
}

void session_prepare(void) {
    if (nghttp2_session_callbacks_new(&callbacks) || nghttp2_option_new(&session_options))
        load_die("nghttp2", "no memory");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_option_set_no_closed_streams(session_options, 1);
}

void session_open(connection *c) {
    if (nghttp2_session_client_new2(&c->session, callbacks, c, session_options))
        load_die("nghttp2", "no memory");
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                         {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW}};
    if (nghttp2_submit_settings(c->session, 0, settings, 2) ||
        nghttp2_session_set_local_window_size(c->session, 0, 0, CONNECTION_WINDOW))
        load_die("nghttp2", "no memory");
}

int session_receive(connection *c, const uint8_t *data, size_t len) {
    return nghttp2_session_mem_recv(c->session, data, len) < 0 ? -1 : 0;
}

ssize_t session_produce(connection *c, const uint8_t **out_bytes) {
    return nghttp2_session_mem_send(c->session, out_bytes);
}

int session_is_over(connection *c) {
    return !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session);
}

void session_request(call *c) {
    nghttp2_data_provider body = {.source.ptr = c, .read_callback = read_body};
    c->id = nghttp2_submit_request(c->connection->session, NULL, c->lane->fields,
                                   c->lane->field_count, &body, c);
    if (c->id < 0) load_die("request", nghttp2_strerror(c->id));
    connection_touch(c->connection);
}

void session_send_next(call *c) {
    c->sent = 0;
    if (!c->deferred) return;
    c->deferred = 0;
    int error = nghttp2_session_resume_data(c->connection->session, c->id);
    if (error) load_die("message", nghttp2_strerror(error));
    connection_touch(c->connection);
}
