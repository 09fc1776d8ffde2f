/* A plan is copied once, in the form in which each of its attempts needs it. */
#include "rpc/channel.h"

#include "base/base64.h"
#include "base/memory.h"
#include "frame/coder.h"
#include "frame/grpc.h"

#include <string.h>

enum {
    KEEP_BYTES = 16384,
    KEEP_FIELDS = 64,
    PATH_BYTES_MAX = 8192,
    CONTENT_TYPE_BYTES_MAX = 256,
    TIMEOUT_ROUNDED_NS = 100 * MCORE__NS_PER_MS /* the error is 1 % at most */
};

static int begins_with(mcore_slice text, const char *prefix) {
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static int is_binary(mcore_slice name) {
    return name.len > 4 && memcmp((const char *)name.data + name.len - 4, "-bin", 4) == 0;
}

/* What the protocol says itself, or what would mean something else to the next hop. */
static int is_reserved(mcore_slice name, mcore__header_token token) {
    switch (token) {
    case MCORE__HEADER_CONNECTION:
    case MCORE__HEADER_CONTENT_LENGTH:
    case MCORE__HEADER_CONTENT_TYPE:
    case MCORE__HEADER_EXPECT:
    case MCORE__HEADER_HOST:
    case MCORE__HEADER_KEEP_ALIVE:
    case MCORE__HEADER_MICRO_TIMEOUT:
    case MCORE__HEADER_PROXY_CONNECTION:
    case MCORE__HEADER_TE:
    case MCORE__HEADER_TRAILER:
    case MCORE__HEADER_TRANSFER_ENCODING:
    case MCORE__HEADER_UPGRADE:
        return 1;
    default:
        break;
    }
    return begins_with(name, "grpc-") || (name.len == 10 && begins_with(name, "user-agent"));
}

/* ---- Checks ---- */

static mcore_status check_metadata(const mcore_client *client, const mcore_call_plan *plan) {
    uint64_t left = client->options.header_list_bytes_max;
    if (plan->metadata_count > client->options.header_count_max) return MCORE_EINVAL;
    if (plan->metadata_count && !plan->metadata) return MCORE_EINVAL;
    for (size_t i = 0; i < plan->metadata_count; i++) {
        const mcore_header *entry = &plan->metadata[i];
        /* Each of them first: their sum could wrap. */
        if (entry->name.len > left || entry->value.len > left) return MCORE_EINVAL;
        uint64_t bytes = (uint64_t)entry->name.len + entry->value.len + 32;
        if (bytes > left) return MCORE_EINVAL;
        left -= bytes;
        if (!mcore__field_name_valid(entry->name)) return MCORE_EINVAL;
        mcore__header_token token = mcore__header_token_of(entry->name.data, entry->name.len);
        if (is_reserved(entry->name, token)) return MCORE_EINVAL;
        if (!is_binary(entry->name) && !mcore__field_value_valid(entry->value)) return MCORE_EINVAL;
    }
    return MCORE_OK;
}

mcore_status mcore__client_plan_read(const mcore_call_plan *plan, mcore_call_plan *out_plan) {
    const size_t least = offsetof(mcore_call_plan, wait_for_ready) + sizeof plan->wait_for_ready;
    if (plan->struct_size < least) return MCORE_EINVAL;
    *out_plan = (mcore_call_plan){0};
    memcpy(out_plan, plan, plan->struct_size < sizeof *plan ? plan->struct_size : sizeof *plan);
    return MCORE_OK;
}

static mcore_status check_plan(const mcore_client *client, const mcore_call_plan *plan) {
    if (plan->attempts_max < 1 || plan->attempts_max > MCORE__ATTEMPTS_MAX) return MCORE_EINVAL;
    if (!begins_with(plan->path, "/") || plan->path.len > PATH_BYTES_MAX) return MCORE_EINVAL;
    if (!mcore__field_value_valid(plan->path)) return MCORE_EINVAL;
    if (memchr(plan->path.data, ' ', plan->path.len)) return MCORE_EINVAL;
    if (!begins_with(plan->content_type, "application/grpc")) return MCORE_EINVAL;
    if (plan->content_type.len > CONTENT_TYPE_BYTES_MAX) return MCORE_EINVAL;
    if (!mcore__field_value_valid(plan->content_type)) return MCORE_EINVAL;
    if (plan->body.len > UINT32_MAX) return MCORE_EINVAL;
    return check_metadata(client, plan);
}

/* ---- Copy ---- */

static mcore_status reserve_fields(mcore__client_request *request, size_t count) {
    if (count <= request->field_capacity) return MCORE_OK;
    size_t capacity = count < 16 ? 16 : count;
    mcore__field *fields = mcore__realloc(request->fields, capacity * sizeof *fields);
    if (!fields) return MCORE_ENOMEM;
    request->fields = fields;
    request->field_capacity = capacity;
    return MCORE_OK;
}

static mcore_status append(mcore__client_request *request, mcore_slice bytes, int as_base64,
                           mcore_slice *out_copy) {
    size_t before = mcore__buffer_len(&request->bytes);
    mcore_status status = MCORE_OK;
    if (as_base64)
        status = mcore__base64_encode(bytes, &request->bytes);
    else if (bytes.len)
        status = mcore__buffer_append(&request->bytes, bytes.data, bytes.len);
    *out_copy = (mcore_slice){NULL, mcore__buffer_len(&request->bytes) - before};
    return status;
}

/* The buffer has stopped moving: one copy after the other gets its place. */
static void place(const uint8_t **at, mcore_slice *copy) {
    copy->data = *at;
    *at += copy->len;
}

static int is_compressed(const mcore__client_request *request) {
    return request->coding != MCORE__CODING_IDENTITY;
}

static mcore_status append_body(const mcore_client *client, const mcore_call_plan *plan,
                                mcore__client_request *request) {
    request->body = (mcore_slice){NULL, 0};
    if (plan->streaming & MCORE_STREAM_REQUEST) return MCORE_OK; /* messages come by themselves */
    if (!is_compressed(request)) return append(request, plan->body, 0, &request->body);
    size_t before = mcore__buffer_len(&request->bytes);
    mcore_status status =
        mcore__compress(client->coder, request->coding, plan->body, &request->bytes);
    if (status != MCORE_OK) return status;
    request->body.len = mcore__buffer_len(&request->bytes) - before;
    return request->body.len > UINT32_MAX ? MCORE_EINVAL : MCORE_OK;
}

static mcore_status copy_bytes(const mcore_client *client, const mcore_call_plan *plan,
                               mcore__client_request *request) {
    mcore_status status = append(request, plan->path, 0, &request->path);
    if (status == MCORE_OK) status = append(request, plan->content_type, 0, &request->content_type);
    for (size_t i = 0; i < plan->metadata_count && status == MCORE_OK; i++) {
        mcore__field *field = &request->fields[request->field_count++];
        mcore_slice name = plan->metadata[i].name;
        field->token = mcore__header_token_of(name.data, name.len);
        status = append(request, name, 0, &field->name);
        if (status != MCORE_OK) return status;
        status = append(request, plan->metadata[i].value, is_binary(name), &field->value);
    }
    if (status == MCORE_OK) status = append_body(client, plan, request);
    if (status != MCORE_OK) return status;

    const uint8_t *at = mcore__buffer_bytes(&request->bytes);
    place(&at, &request->path);
    place(&at, &request->content_type);
    for (size_t i = MCORE__CLIENT_OWN_FIELDS; i < request->field_count; i++) {
        place(&at, &request->fields[i].name);
        place(&at, &request->fields[i].value);
    }
    place(&at, &request->body);
    return MCORE_OK;
}

mcore_status mcore__client_request_copy(const mcore_client *client, const mcore_call_plan *plan,
                                        mcore__client_request *request) {
    mcore_status status = check_plan(client, plan);
    if (status != MCORE_OK) return status;
    status = reserve_fields(request, MCORE__CLIENT_OWN_FIELDS + plan->metadata_count);
    if (status != MCORE_OK) return status;
    request->coding = plan->body_flags & MCORE_MESSAGE_COMPRESSED
                          ? mcore__coding_of_flags(plan->body_flags)
                          : MCORE__CODING_IDENTITY;
    if (request->coding == MCORE__CODING_UNKNOWN) return MCORE_EINVAL;
    size_t room = plan->path.len + plan->content_type.len;
    if (!is_compressed(request) && !(plan->streaming & MCORE_STREAM_REQUEST))
        room += plan->body.len;
    status = mcore__buffer_reserve(&request->bytes, room);
    if (status != MCORE_OK) return status;
    request->field_count = MCORE__CLIENT_OWN_FIELDS;
    status = copy_bytes(client, plan, request);
    if (status != MCORE_OK) return status;
    request->attempt_timeout_ns = plan->attempt_timeout_ns;
    mcore__grpc_prefix(request->prefix, (uint32_t)request->body.len,
                       (uint32_t)is_compressed(request));
    return MCORE_OK;
}

static mcore_slice moved(mcore_slice slice, const uint8_t *from, const uint8_t *to) {
    if (slice.len == 0) return slice;
    return (mcore_slice){to + ((const uint8_t *)slice.data - from), slice.len};
}

mcore_status mcore__client_request_clone(const mcore__client_request *from,
                                         mcore__client_request *request) {
    size_t len = mcore__buffer_len(&from->bytes);
    const uint8_t *old = mcore__buffer_bytes(&from->bytes);
    mcore_status status = reserve_fields(request, from->field_count);
    if (status == MCORE_OK) status = mcore__buffer_append(&request->bytes, old, len);
    if (status != MCORE_OK) return status;
    const uint8_t *new = mcore__buffer_bytes(&request->bytes);
    request->field_count = from->field_count;
    for (size_t i = MCORE__CLIENT_OWN_FIELDS; i < from->field_count; i++) {
        request->fields[i] = from->fields[i];
        request->fields[i].name = moved(from->fields[i].name, old, new);
        request->fields[i].value = moved(from->fields[i].value, old, new);
    }
    request->path = moved(from->path, old, new);
    request->content_type = moved(from->content_type, old, new);
    request->body = moved(from->body, old, new);
    request->coding = from->coding;
    request->attempt_timeout_ns = from->attempt_timeout_ns;
    memcpy(request->prefix, from->prefix, sizeof request->prefix);
    return MCORE_OK;
}

void mcore__client_request_reset(mcore__client_request *request) {
    mcore__buffer_reset(&request->bytes, KEEP_BYTES);
    request->field_count = 0;
    if (request->field_capacity <= KEEP_FIELDS) return;
    mcore__free(request->fields);
    request->fields = NULL;
    request->field_capacity = 0;
}

void mcore__client_request_free(mcore__client_request *request) {
    mcore__buffer_free(&request->bytes);
    mcore__free(request->fields);
}

/* ---- The fields of an attempt ---- */

static mcore_slice text(const char *bytes) { return (mcore_slice){bytes, strlen(bytes)}; }

/* The values are ours, or were checked when the call was made. */
static mcore__field own(mcore__header_token token, const char *name, mcore_slice value) {
    return (mcore__field){token | MCORE__FIELD_CHECKED, text(name), value};
}

static mcore__field constant(mcore__header_token token, const char *name, mcore_slice value) {
    return (mcore__field){token | MCORE__FIELD_CONSTANT, text(name), value};
}

/* Down to a millisecond, where that is little: calls with the same timeout then send the same
 * field, which HPACK knows. */
static uint64_t rounded(uint64_t ns) {
    return ns < TIMEOUT_ROUNDED_NS ? ns : ns / MCORE__NS_PER_MS * MCORE__NS_PER_MS;
}

static mcore_slice time_left(const mcore__client_call *call, mcore__client_scratch *scratch) {
    uint64_t now_ns = mcore_loop_now_ns(call->client->loop);
    uint64_t end_ns = call->attempt_deadline_ns;
    uint64_t left_ns = end_ns > now_ns ? end_ns - now_ns : 1;
    return (mcore_slice){scratch->timeout,
                         mcore__grpc_timeout_format(rounded(left_ns), scratch->timeout)};
}

size_t mcore__client_call_fields(mcore__client_call *call, const mcore__channel *channel,
                                 mcore__client_scratch *scratch, mcore__field **out_fields) {
    mcore__client_request *request = &call->request;
    /* At most 4: one digit. */
    uint32_t previous = call->attempt.attempts - 1 + call->others_before;
    scratch->attempts = (char)('0' + previous);
    uint32_t timed = call->attempt_deadline_ns != UINT64_MAX;
    uint32_t unused = (previous == 0) + !timed + !is_compressed(request);

    mcore__field *fields = request->fields + unused;
    mcore__field *at = fields;
    *at++ = constant(MCORE__HEADER_METHOD, ":method", text("POST"));
    *at++ = constant(MCORE__HEADER_SCHEME, ":scheme", text(mcore__channel_scheme(channel)));
    *at++ = own(MCORE__HEADER_PATH, ":path", request->path);
    *at++ = (mcore__field){MCORE__HEADER_AUTHORITY, text(":authority"), channel->authority};
    *at++ = constant(MCORE__HEADER_TE, "te", text("trailers"));
    *at++ = own(MCORE__HEADER_CONTENT_TYPE, "content-type", request->content_type);
    *at++ = own(MCORE__HEADER_OTHER, "user-agent", text(call->client->user_agent));
    *at++ = constant(MCORE__HEADER_GRPC_ACCEPT_ENCODING, "grpc-accept-encoding",
                     mcore__codings_of_grpc());
    if (is_compressed(request)) {
        *at++ = constant(MCORE__HEADER_GRPC_ENCODING, "grpc-encoding",
                         mcore__coding_name(request->coding));
    }
    if (timed) {
        *at++ = own(MCORE__HEADER_GRPC_TIMEOUT, "grpc-timeout", time_left(call, scratch));
    }
    if (previous) {
        *at++ = own(MCORE__HEADER_OTHER, "grpc-previous-rpc-attempts",
                    (mcore_slice){&scratch->attempts, 1});
    }
    *out_fields = fields;
    return request->field_count - (size_t)(fields - request->fields);
}
