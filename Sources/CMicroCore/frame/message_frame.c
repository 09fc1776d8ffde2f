#include "frame/message_frame.h"

#include "base/memory.h"
#include "frame/header_token.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    KEEP_BYTES = 4096, /* of an idle cutter's allocation */
    HEADERS_MIN = 8,   /* room that is made at first */
    VERSION = 1,
    NAME_BYTES_SHOWN = 40
};

const uint8_t mcore__message_preface[MCORE__MESSAGE_PREFACE_BYTES] = {0xf8, 'm', 'i',  'c',
                                                                      'r',  'o', '\n', VERSION};

static const uint8_t end_frame[MCORE__MESSAGE_PREFIX_BYTES] = {0xff, 0xff, 0xff, 0xff,
                                                               0xff, 0xff, 0xff, 0xff};

__attribute__((format(printf, 3, 4))) static mcore_status
complain(char *problem, mcore_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, MCORE__MESSAGE_PROBLEM_BYTES, format, arguments);
    va_end(arguments);
    return status;
}

static void advance(mcore_slice *input, size_t len) {
    if (len == 0) return;
    input->data = (const uint8_t *)input->data + len;
    input->len -= len;
}

mcore_status mcore__message_take_preface(uint32_t *inout_known, mcore_slice *input, char *problem) {
    while (*inout_known < MCORE__MESSAGE_PREFACE_BYTES && input->len > 0) {
        uint8_t byte = *(const uint8_t *)input->data;
        if (byte != mcore__message_preface[*inout_known]) {
            if (*inout_known < MCORE__MESSAGE_PREFACE_BYTES - 1)
                return complain(problem, MCORE_EPROTO, "the peer is not a message socket");
            return complain(problem, MCORE_EPROTO,
                            "the peer speaks version %u of message sockets, we speak %u",
                            (unsigned)byte, (unsigned)VERSION);
        }
        ++*inout_known;
        advance(input, 1);
    }
    return MCORE_OK;
}

/* ---- Numbers ---- */

static uint32_t read_u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint8_t *write_u32(uint8_t *at, uint32_t value) {
    *at++ = (uint8_t)(value >> 24);
    *at++ = (uint8_t)(value >> 16);
    *at++ = (uint8_t)(value >> 8);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *write_u16(uint8_t *at, uint32_t value) {
    *at++ = (uint8_t)(value >> 8);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *write_bytes(uint8_t *at, mcore_slice bytes) {
    if (bytes.len) memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

/* ---- What both sides check ---- */

static int is_binary(mcore_slice name) {
    return name.len >= 4 && memcmp((const char *)name.data + name.len - 4, "-bin", 4) == 0;
}

static mcore_status check_header(mcore_slice name, mcore_slice value, mcore_status refused,
                                 char *problem) {
    if (name.len == 0) return complain(problem, refused, "a header has no name");
    if (!mcore__field_name_valid(name)) /* which may be anything, and is not shown */
        return complain(problem, refused, "the name of a header is not a token in lower case");
    if (!is_binary(name) && !mcore__field_value_valid(value)) {
        int shown = name.len > NAME_BYTES_SHOWN ? NAME_BYTES_SHOWN : (int)name.len;
        return complain(problem, refused,
                        "the header \"%.*s\" has a control character, or a blank at an end", shown,
                        (const char *)name.data);
    }
    return MCORE_OK;
}

static mcore_status check_lengths(uint64_t header_bytes, uint64_t body_bytes,
                                  const mcore__message_limits *limits, char *problem) {
    if (header_bytes > limits->header_bytes_max)
        return complain(problem, MCORE_ELIMIT,
                        "a message has %" PRIu64 " bytes of headers, %" PRIu32 " are allowed",
                        header_bytes, limits->header_bytes_max);
    if (body_bytes > limits->body_bytes_max)
        return complain(problem, MCORE_ELIMIT,
                        "a message has a body of %" PRIu64 " bytes, %" PRIu32 " are allowed",
                        body_bytes, limits->body_bytes_max);
    return MCORE_OK;
}

static mcore_status too_many_headers(const mcore__message_limits *limits, char *problem) {
    return complain(problem, MCORE_ELIMIT, "a message has more than %" PRIu32 " headers",
                    limits->header_count_max);
}

/* ---- Cutting ---- */

void mcore__message_cutter_init(mcore__message_cutter *cutter,
                                const mcore__message_limits *limits) {
    *cutter = (mcore__message_cutter){.limits = *limits};
}

void mcore__message_cutter_free(mcore__message_cutter *cutter) {
    mcore__buffer_free(&cutter->partial);
    mcore__free(cutter->headers);
    cutter->headers = NULL;
    cutter->header_capacity = 0;
}

static size_t frame_len(const uint8_t *prefix) {
    return MCORE__MESSAGE_PREFIX_BYTES + (size_t)read_u32(prefix) + read_u32(prefix + 4);
}

/* 1 when `partial` holds a whole frame. Such a frame was handed out by the last call. */
static int partial_complete(const mcore__buffer *partial) {
    size_t len = mcore__buffer_len(partial);
    return len >= MCORE__MESSAGE_PREFIX_BYTES && len == frame_len(mcore__buffer_bytes(partial));
}

void mcore__message_cutter_release(mcore__message_cutter *cutter) {
    if (partial_complete(&cutter->partial)) mcore__buffer_reset(&cutter->partial, KEEP_BYTES);
}

static mcore_status no_memory(mcore__message_cutter *cutter) {
    return complain(cutter->problem, MCORE_ENOMEM, "no memory for a message");
}

static mcore_status make_room(mcore__message_cutter *cutter) {
    uint32_t capacity = cutter->header_capacity ? cutter->header_capacity * 2 : HEADERS_MIN;
    if (capacity > cutter->limits.header_count_max) capacity = cutter->limits.header_count_max;
    mcore_header *headers = mcore__realloc(cutter->headers, capacity * sizeof *headers);
    if (!headers) return no_memory(cutter);
    cutter->headers = headers;
    cutter->header_capacity = capacity;
    return MCORE_OK;
}

/* Reads the header in front of the block. */
static mcore_status cut_header(mcore__message_cutter *cutter, mcore_slice *block,
                               mcore_header *out_header) {
    const uint8_t *at = block->data;
    uint64_t name_len = 0, value_len = 0;
    int whole = block->len >= MCORE__MESSAGE_HEADER_PREFIX_BYTES;
    if (whole) {
        name_len = (uint64_t)at[0] << 8 | at[1];
        value_len = read_u32(at + 2);
        whole = MCORE__MESSAGE_HEADER_PREFIX_BYTES + name_len + value_len <= block->len;
    }
    if (!whole)
        return complain(cutter->problem, MCORE_EPROTO, "a header goes beyond those of its message");
    at += MCORE__MESSAGE_HEADER_PREFIX_BYTES;
    *out_header = (mcore_header){{at, (size_t)name_len}, {at + name_len, (size_t)value_len}};
    advance(block, MCORE__MESSAGE_HEADER_PREFIX_BYTES + (size_t)(name_len + value_len));
    return check_header(out_header->name, out_header->value, MCORE_EPROTO, cutter->problem);
}

static mcore_status cut_headers(mcore__message_cutter *cutter, mcore_slice block,
                                uint32_t *out_count) {
    uint32_t count = 0;
    while (block.len > 0) {
        mcore_header header;
        if (count == cutter->limits.header_count_max)
            return too_many_headers(&cutter->limits, cutter->problem);
        mcore_status status = cut_header(cutter, &block, &header);
        if (status == MCORE_OK && count == cutter->header_capacity) status = make_room(cutter);
        if (status != MCORE_OK) return status;
        cutter->headers[count++] = header;
    }
    *out_count = count;
    return MCORE_OK;
}

/* The prefix as far as it is known, half of it perhaps kept from earlier input. */
static size_t peek_prefix(const mcore__buffer *partial, mcore_slice input,
                          uint8_t out[MCORE__MESSAGE_PREFIX_BYTES]) {
    size_t known = mcore__buffer_len(partial);
    if (known > MCORE__MESSAGE_PREFIX_BYTES) known = MCORE__MESSAGE_PREFIX_BYTES;
    if (known > 0) memcpy(out, mcore__buffer_bytes(partial), known);
    size_t more = MCORE__MESSAGE_PREFIX_BYTES - known;
    if (more > input.len) more = input.len;
    if (more > 0) memcpy(out + known, input.data, more);
    return known + more;
}

static mcore_status keep(mcore__message_cutter *cutter, mcore_slice *input, size_t len,
                         size_t total) {
    if (mcore__buffer_append_toward(&cutter->partial, input->data, len, total) != MCORE_OK)
        return no_memory(cutter);
    advance(input, len);
    return MCORE_OK;
}

mcore_status mcore__message_cut(mcore__message_cutter *cutter, mcore_slice *input,
                                uint32_t *out_ready, mcore__message *out_message) {
    mcore__buffer *partial = &cutter->partial;
    uint8_t prefix[MCORE__MESSAGE_PREFIX_BYTES];
    *out_ready = 0;
    mcore__message_cutter_release(cutter);
    if (input->len == 0 || cutter->ended) return MCORE_OK;

    if (peek_prefix(partial, *input, prefix) < sizeof prefix)
        return keep(cutter, input, input->len, sizeof prefix);
    if (memcmp(prefix, end_frame, sizeof prefix) == 0) {
        advance(input, sizeof prefix - mcore__buffer_len(partial));
        mcore__buffer_free(partial);
        cutter->ended = 1;
        return MCORE_OK;
    }
    uint32_t header_len = read_u32(prefix), body_len = read_u32(prefix + 4);
    mcore_status status = check_lengths(header_len, body_len, &cutter->limits, cutter->problem);
    if (status != MCORE_OK) return status;

    size_t total = frame_len(prefix), have = mcore__buffer_len(partial);
    const uint8_t *frame = input->data;
    if (have == 0 && input->len >= total) {
        advance(input, total);
    } else {
        size_t take = total - have < input->len ? total - have : input->len;
        status = keep(cutter, input, take, total);
        if (status != MCORE_OK || have + take < total) return status;
        frame = mcore__buffer_bytes(partial);
    }
    frame += sizeof prefix;
    status = cut_headers(cutter, (mcore_slice){frame, header_len}, &out_message->header_count);
    if (status != MCORE_OK) return status;
    out_message->headers = cutter->headers;
    out_message->body = (mcore_slice){frame + header_len, body_len};
    *out_ready = 1;
    return MCORE_OK;
}

/* ---- Writing ---- */

static mcore_status check_message(const mcore__message *message,
                                  const mcore__message_limits *limits, uint64_t *out_header_bytes,
                                  char *problem) {
    uint64_t header_bytes = 0;
    if (message->header_count > limits->header_count_max) return too_many_headers(limits, problem);
    for (uint32_t i = 0; i < message->header_count; i++) {
        const mcore_header *header = &message->headers[i];
        mcore_status status = check_header(header->name, header->value, MCORE_EINVAL, problem);
        if (status != MCORE_OK) return status;
        if (header->name.len > UINT16_MAX)
            return complain(problem, MCORE_ELIMIT, "the name of a header has %zu bytes",
                            header->name.len);
        header_bytes += MCORE__MESSAGE_HEADER_PREFIX_BYTES + header->name.len + header->value.len;
    }
    *out_header_bytes = header_bytes;
    return check_lengths(header_bytes, message->body.len, limits, problem);
}

mcore_status mcore__message_write(mcore__buffer *out, const mcore__message_limits *limits,
                                  const mcore__message *message, char *problem) {
    uint64_t header_bytes;
    mcore_status status = check_message(message, limits, &header_bytes, problem);
    if (status != MCORE_OK) return status;
    size_t total = MCORE__MESSAGE_PREFIX_BYTES + (size_t)header_bytes + message->body.len;
    if (mcore__buffer_reserve(out, total) != MCORE_OK)
        return complain(problem, MCORE_ENOMEM, "no memory for a message");
    uint8_t *at = write_u32(mcore__buffer_tail(out), (uint32_t)header_bytes);
    at = write_u32(at, (uint32_t)message->body.len);
    for (uint32_t i = 0; i < message->header_count; i++) {
        const mcore_header *header = &message->headers[i];
        at = write_u16(at, (uint32_t)header->name.len);
        at = write_u32(at, (uint32_t)header->value.len);
        at = write_bytes(at, header->name);
        at = write_bytes(at, header->value);
    }
    write_bytes(at, message->body);
    out->end += total;
    return MCORE_OK;
}

mcore_status mcore__message_write_end(mcore__buffer *out) {
    return mcore__buffer_append(out, end_frame, sizeof end_frame);
}
