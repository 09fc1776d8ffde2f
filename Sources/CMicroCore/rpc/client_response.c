#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "rpc/client_response.h"

#include "base/base64.h"
#include "base/memory.h"
#include "rpc/attempt.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { KEEP_BYTES = 16384, KEEP_ENTRIES = 64 };

/* ---- Lifetime ---- */

void mcore__response_init(mcore__response *response, uint32_t message_bytes_max,
                          mcore__coder *coder) {
    mcore__grpc_cutter_init(&response->cutter, message_bytes_max);
    response->coder = coder;
    response->coding = MCORE__CODING_IDENTITY;
    response->grpc_status = MCORE__RESPONSE_NO_STATUS;
}

static void free_entries(mcore__response *response) {
    mcore__free(response->entries);
    mcore__free(response->headers);
    response->entries = NULL;
    response->headers = NULL;
    response->entry_capacity = 0;
}

void mcore__response_free(mcore__response *response) {
    mcore__buffer_free(&response->text);
    mcore__buffer_free(&response->copy);
    mcore__grpc_cutter_free(&response->cutter);
    free_entries(response);
}

void mcore__response_reset(mcore__response *response) {
    if (response->entry_capacity > KEEP_ENTRIES) free_entries(response);
    mcore__buffer_reset(&response->text, KEEP_BYTES);
    mcore__buffer_reset(&response->copy, KEEP_BYTES);
    mcore__buffer_reset(&response->cutter.partial, KEEP_BYTES);
    mcore__response fresh = {
        .text = response->text,
        .copy = response->copy,
        .cutter = response->cutter,
        .coder = response->coder,
        .coding = MCORE__CODING_IDENTITY,
        .entries = response->entries,
        .headers = response->headers,
        .entry_capacity = response->entry_capacity,
        .grpc_status = MCORE__RESPONSE_NO_STATUS,
    };
    *response = fresh;
}

/* ---- Verdicts ---- */

__attribute__((format(printf, 4, 5))) static mcore_status give_up(mcore__response *response,
                                                                  uint32_t rpc_code,
                                                                  mcore_status transport,
                                                                  const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(response->error, sizeof response->error, format, arguments);
    va_end(arguments);
    response->rpc_code = rpc_code;
    response->transport = transport;
    response->bodies = 0;
    return transport == MCORE_OK ? MCORE_EPROTO : transport;
}

mcore_status mcore__response_no_memory(mcore__response *response) {
    return give_up(response, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ENOMEM,
                   "no memory for the response");
}

uint32_t mcore__rpc_code_of_http(uint32_t http_status) {
    switch (http_status) {
    case 400:
        return MCORE_RPC_INTERNAL;
    case 401:
        return MCORE_RPC_UNAUTHENTICATED;
    case 403:
        return MCORE_RPC_PERMISSION_DENIED;
    case 404:
        return MCORE_RPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return MCORE_RPC_UNAVAILABLE;
    default:
        return MCORE_RPC_UNKNOWN;
    }
}

uint32_t mcore__rpc_code_of_reset(uint32_t error_code) {
    enum { INADEQUATE_SECURITY = 12 };
    switch (error_code) {
    case MCORE__H2_REFUSED_STREAM:
        return MCORE_RPC_UNAVAILABLE;
    case MCORE__H2_CANCEL:
        return MCORE_RPC_CANCELLED;
    case MCORE__H2_ENHANCE_YOUR_CALM:
        return MCORE_RPC_RESOURCE_EXHAUSTED;
    case INADEQUATE_SECURITY:
        return MCORE_RPC_PERMISSION_DENIED;
    default:
        return MCORE_RPC_INTERNAL;
    }
}

/* ---- Headers and trailers ---- */

static int begins_with(mcore_slice text, const char *prefix) {
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static int ends_with(mcore_slice text, const char *suffix) {
    size_t len = strlen(suffix);
    return text.len >= len && memcmp((const char *)text.data + text.len - len, suffix, len) == 0;
}

/* Digits only, no sign, no space; `most` when it is anything else. */
static uint32_t small_number(mcore_slice text, uint32_t most) {
    uint32_t value = 0;
    if (text.len == 0 || text.len > 9) return most;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t digit = (uint8_t)(((const uint8_t *)text.data)[i] - '0');
        if (digit > 9) return most;
        value = value * 10 + digit;
    }
    return value;
}

typedef mcore_status (*text_decoder)(mcore_slice text, mcore__buffer *out);

static mcore_status plain_copy(mcore_slice text, mcore__buffer *out) {
    return text.len ? mcore__buffer_append(out, text.data, text.len) : MCORE_OK;
}

static mcore_status add_text(mcore__response *response, mcore_slice text, text_decoder decode,
                             mcore__response_range *out_range) {
    size_t begin = mcore__buffer_len(&response->text);
    mcore_status status = decode(text, &response->text);
    if (status != MCORE_OK) return status;
    *out_range = (mcore__response_range){begin, mcore__buffer_len(&response->text) - begin};
    return MCORE_OK;
}

static mcore_status reserve_entry(mcore__response *response) {
    if (response->entry_count < response->entry_capacity) return MCORE_OK;
    uint32_t capacity = response->entry_capacity ? response->entry_capacity * 2 : 8;
    void *entries = mcore__realloc(response->entries, capacity * sizeof *response->entries);
    if (!entries) return MCORE_ENOMEM;
    response->entries = entries;
    void *headers = mcore__realloc(response->headers, capacity * sizeof *response->headers);
    if (!headers) return MCORE_ENOMEM;
    response->headers = headers;
    response->entry_capacity = capacity;
    return MCORE_OK;
}

static mcore_status add_entry(mcore__response *response, mcore_slice name, mcore_slice value,
                              text_decoder decode) {
    mcore__response_entry entry;
    mcore_status status = reserve_entry(response);
    if (status == MCORE_OK) status = add_text(response, name, plain_copy, &entry.name);
    if (status == MCORE_OK) status = add_text(response, value, decode, &entry.value);
    if (status == MCORE_OK) response->entries[response->entry_count++] = entry;
    return status;
}

/* "-bin" metadata: several values may have been joined with commas on the way. */
static mcore_status add_binary(mcore__response *response, mcore_slice name, mcore_slice value) {
    const char *at = value.data, *end = at + value.len;
    for (;;) {
        const char *comma = at == end ? NULL : memchr(at, ',', (size_t)(end - at));
        mcore_slice part = {at, (size_t)((comma ? comma : end) - at)};
        while (part.len && ((const char *)part.data)[0] == ' ') {
            part = (mcore_slice){(const char *)part.data + 1, part.len - 1};
        }
        mcore_status status = add_entry(response, name, part, mcore__base64_decode);
        if (status != MCORE_OK || !comma) return status;
        at = comma + 1;
    }
}

static mcore_status take_field(mcore__response *response, const mcore__field *field) {
    enum { STATUS_MAX = 1000 };
    switch (field->token) {
    case MCORE__HEADER_STATUS:
        response->http_status = small_number(field->value, STATUS_MAX);
        return MCORE_OK;
    case MCORE__HEADER_CONTENT_TYPE:
        response->is_grpc = begins_with(field->value, "application/grpc");
        return add_text(response, field->value, plain_copy, &response->content_type);
    case MCORE__HEADER_GRPC_STATUS:
        if (!response->has_trailers) return MCORE_OK; /* it counts where the answer ends */
        response->grpc_status = small_number(field->value, MCORE_RPC_UNKNOWN);
        if (response->grpc_status > MCORE_RPC_UNAUTHENTICATED) {
            response->grpc_status = MCORE_RPC_UNKNOWN;
        }
        return MCORE_OK;
    case MCORE__HEADER_GRPC_MESSAGE:
        return add_text(response, field->value, mcore__percent_decode, &response->message);
    case MCORE__HEADER_GRPC_STATUS_DETAILS:
        return add_text(response, field->value, mcore__base64_decode, &response->details);
    case MCORE__HEADER_GRPC_ENCODING:
        response->coding = mcore__coding_of(field->value);
        return MCORE_OK;
    case MCORE__HEADER_GRPC_ACCEPT_ENCODING:
    case MCORE__HEADER_CONTENT_LENGTH:
    case MCORE__HEADER_TRAILER:
        return MCORE_OK;
    default:
        break;
    }
    if (field->name.len && *(const char *)field->name.data == ':') return MCORE_OK;
    if (ends_with(field->name, "-bin")) return add_binary(response, field->name, field->value);
    return add_entry(response, field->name, field->value, plain_copy);
}

mcore_status mcore__response_headers(mcore__response *response, const mcore__h2_headers *headers) {
    if (headers->overflow) {
        return give_up(response, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT,
                       "the headers of the response are larger than the client's limit");
    }
    /* An answer without a message is one block that begins and ends the stream. */
    response->has_trailers = headers->trailers | headers->end_stream;
    response->has_headers = 1;
    for (size_t i = 0; i < headers->count; i++) {
        const mcore__field *field = &headers->fields[i];
        mcore_status status = take_field(response, field);
        if (status == MCORE_ENOMEM) return mcore__response_no_memory(response);
        if (status != MCORE_OK) {
            return give_up(
                response, MCORE_RPC_INTERNAL, MCORE_EPROTO, "the value of \"%.*s\" is not base64",
                (int)(field->name.len < 64 ? field->name.len : 64), (const char *)field->name.data);
        }
    }
    if (!response->has_trailers) response->header_count = response->entry_count;
    return MCORE_OK;
}

/* ---- Data ---- */

int mcore__response_is_plain_http(const mcore__response *response) {
    return response->http_status != 200 || !response->is_grpc;
}

static mcore_status cut(mcore__response *response, mcore_slice *input, uint32_t *out_ready,
                        mcore_slice *out_message, uint32_t *out_compressed) {
    mcore_status status =
        mcore__grpc_cut(&response->cutter, input, out_ready, out_message, out_compressed);
    if (status == MCORE_OK) return MCORE_OK;
    if (status == MCORE_ENOMEM) return mcore__response_no_memory(response);
    if (status == MCORE_ELIMIT) {
        return give_up(response, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT,
                       "the response is larger than the limit of %u bytes",
                       response->cutter.message_bytes_max);
    }
    return give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO,
                   "the response is not a gRPC message");
}

/* Into `copy`. What is not allowed, and with which code, is grpc/doc/compression.md's. */
static mcore_status decompress(mcore__response *response, mcore_slice *message) {
    if (response->coding == MCORE__CODING_IDENTITY) {
        return give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO,
                       "a message is compressed, and there is no grpc-encoding");
    }
    if (response->coding == MCORE__CODING_UNKNOWN) {
        return give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO,
                       "a message is compressed in a way that was not asked for");
    }
    uint32_t bytes_max = response->cutter.message_bytes_max;
    mcore__buffer_reset(&response->copy, KEEP_BYTES);
    mcore_status status =
        mcore__decompress(response->coder, response->coding, *message, bytes_max, &response->copy);
    if (status == MCORE_ENOMEM) return mcore__response_no_memory(response);
    if (status == MCORE_ELIMIT) {
        return give_up(response, MCORE_RPC_RESOURCE_EXHAUSTED, MCORE_ELIMIT,
                       "the response is, decompressed, larger than the limit of %u bytes",
                       bytes_max);
    }
    if (status != MCORE_OK) {
        return give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO,
                       "a compressed message is damaged");
    }
    size_t len = mcore__buffer_len(&response->copy);
    *message = (mcore_slice){len ? mcore__buffer_bytes(&response->copy) : NULL, len};
    return MCORE_OK;
}

mcore_status mcore__response_next(mcore__response *response, mcore_slice *input,
                                  uint32_t *out_ready, mcore_message *out_message) {
    uint32_t compressed;
    *out_message = (mcore_message){0};
    mcore_status status = cut(response, input, out_ready, &out_message->bytes, &compressed);
    if (status != MCORE_OK || !*out_ready) return status;
    response->bodies = 1;
    if (!compressed) return MCORE_OK;
    out_message->flags = MCORE_MESSAGE_COMPRESSED;
    return decompress(response, &out_message->bytes);
}

void mcore__response_drop(mcore__response *response) {
    mcore_slice nothing = {NULL, 0}, message;
    uint32_t ready, compressed;
    mcore__grpc_cut(&response->cutter, &nothing, &ready, &message, &compressed);
    mcore__buffer_reset(&response->copy, KEEP_BYTES);
}

mcore_status mcore__response_data(mcore__response *response, const uint8_t *data, size_t len) {
    mcore_slice input = {data, len};
    if (mcore__response_is_plain_http(response)) return MCORE_OK;
    while (input.len > 0) {
        mcore_message message;
        uint32_t ready;
        if (response->bodies > 0) {
            return give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO,
                           "more than one message in the answer to a unary call");
        }
        mcore_status status = mcore__response_next(response, &input, &ready, &message);
        if (status != MCORE_OK || !ready) return status;
        uintptr_t begin = (uintptr_t)message.bytes.data, given = (uintptr_t)data;
        response->body = message.bytes;
        response->body_flags = message.flags;
        response->body_borrowed = message.bytes.len > 0 && begin >= given && begin - given < len;
    }
    return MCORE_OK;
}

mcore_status mcore__response_keep_body(mcore__response *response) {
    if (!response->body_borrowed) return MCORE_OK;
    mcore_status status =
        mcore__buffer_append(&response->copy, response->body.data, response->body.len);
    response->body_borrowed = 0;
    if (status != MCORE_OK) return mcore__response_no_memory(response);
    response->body = (mcore_slice){mcore__buffer_bytes(&response->copy), response->body.len};
    return MCORE_OK;
}

/* ---- End ---- */

static mcore_slice text_at(const mcore__response *response, mcore__response_range range) {
    if (range.len == 0) return (mcore_slice){NULL, 0};
    return (mcore_slice){mcore__buffer_bytes(&response->text) + range.begin, range.len};
}

static int find_entry(const mcore__response *response, const char *name, mcore_slice *out_value) {
    size_t len = strlen(name);
    for (uint32_t i = 0; i < response->entry_count; i++) {
        mcore_slice entry = text_at(response, response->entries[i].name);
        if (entry.len != len || memcmp(entry.data, name, len) != 0) continue;
        *out_value = text_at(response, response->entries[i].value);
        return 1;
    }
    return 0;
}

int mcore__response_unprocessed(const mcore__response *response) {
    mcore_slice value;
    if (response->rpc_code != MCORE_RPC_UNAVAILABLE &&
        response->rpc_code != MCORE_RPC_RESOURCE_EXHAUSTED) {
        return 0;
    }
    return find_entry(response, "micro-not-processed", &value) && value.len == 1 &&
           *(const char *)value.data == '1';
}

int mcore__response_push_back(const mcore__response *response, uint64_t *out_delay_ns) {
    mcore_slice value;
    if (!find_entry(response, "grpc-retry-pushback-ms", &value)) return 0;
    uint32_t ms = small_number(value, UINT32_MAX);
    *out_delay_ns = ms == UINT32_MAX ? MCORE__ATTEMPT_NEVER : ms * UINT64_C(1000000);
    return 1;
}

void mcore__response_end(mcore__response *response) {
    response->ended = 1;
    if (response->grpc_status != MCORE__RESPONSE_NO_STATUS) {
        response->rpc_code = response->grpc_status;
        response->transport = MCORE_OK;
        if (response->rpc_code != MCORE_RPC_OK) {
            response->bodies = 0;
        } else if (mcore__grpc_cutter_pending(&response->cutter)) {
            give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO, "the response ends in a message");
        } else if (response->bodies == 0 && !response->many) {
            give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO, "a response without a message");
        }
    } else if (!response->has_headers) {
        give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO, "a response without headers");
    } else if (response->http_status != 200) {
        give_up(response, mcore__rpc_code_of_http(response->http_status), MCORE_OK,
                "HTTP status %u instead of a gRPC answer", response->http_status);
    } else if (!response->is_grpc) {
        mcore_slice type = text_at(response, response->content_type);
        give_up(response, MCORE_RPC_UNKNOWN, MCORE_EPROTO,
                "the content type of the response is \"%.*s\", not application/grpc",
                (int)(type.len < 64 ? type.len : 64), type.len ? (const char *)type.data : "");
    } else if (response->has_trailers) {
        give_up(response, MCORE_RPC_UNKNOWN, MCORE_EPROTO, "trailers without grpc-status");
    } else {
        give_up(response, MCORE_RPC_INTERNAL, MCORE_EPROTO, "the response ended without trailers");
    }
}

static void place_headers(mcore__response *response) {
    for (uint32_t i = 0; i < response->entry_count; i++) {
        response->headers[i].name = text_at(response, response->entries[i].name);
        response->headers[i].value = text_at(response, response->entries[i].value);
    }
}

mcore_stream_head mcore__response_head(mcore__response *response) {
    place_headers(response);
    return (mcore_stream_head){
        .struct_size = sizeof(mcore_stream_head),
        .metadata_count = response->header_count,
        .metadata = response->headers,
        .content_type = text_at(response, response->content_type),
    };
}

void mcore__response_fill(mcore__response *response, mcore_result *out_result) {
    place_headers(response);
    out_result->rpc_code = response->rpc_code;
    out_result->transport = response->transport;
    out_result->message = text_at(response, response->message);
    out_result->details = text_at(response, response->details);
    out_result->content_type = text_at(response, response->content_type);
    out_result->metadata = response->headers;
    out_result->metadata_count = response->entry_count;
    out_result->header_count = response->header_count;
    if (response->bodies && !response->many) {
        out_result->body = response->body;
        out_result->body_flags = response->body_flags;
    }
    if (response->error[0]) {
        out_result->message = (mcore_slice){response->error, strlen(response->error)};
    }
}
