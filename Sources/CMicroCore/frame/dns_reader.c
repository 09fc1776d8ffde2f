#include "frame/dns.h"

#include <string.h>

enum { POINTERS_MAX = 127 }; /* as many as a name can have labels */

/* ---- Numbers ---- */

static uint16_t get_u16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static uint32_t get_u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- Names ---- */

/* Reads the name at `*inout_at`, which then is behind it. Nothing behind `end` belongs to it; what
 * its pointers point at may be anywhere before. */
static mcore_status read_name(const mcore__dns_reader *r, uint32_t *inout_at, uint32_t end,
                              mcore__dns_name *out) {
    uint32_t at = *inout_at, begin = at, len = 0, pointers = 0;
    for (;;) {
        if (at >= end) return MCORE_EPROTO;
        uint8_t first = r->message[at];
        if (first >= 0xc0) {
            if (end - at < 2) return MCORE_EPROTO;
            uint32_t target = get_u16(r->message + at) & 0x3fffu;
            if (pointers == 0) *inout_at = at + 2;
            if (target < MCORE__DNS_HEADER_BYTES || target >= begin) return MCORE_EPROTO;
            if (++pointers > POINTERS_MAX) return MCORE_EPROTO;
            end = r->len;
            at = begin = target;
            continue;
        }
        if (first > MCORE__DNS_LABEL_BYTES_MAX) return MCORE_EPROTO;
        uint32_t label_len = first + 1u; /* with its length */
        if (end - at < label_len || len + label_len > MCORE__DNS_NAME_BYTES_MAX)
            return MCORE_EPROTO;
        memcpy(out->bytes + len, r->message + at, label_len);
        len += label_len;
        at += label_len;
        if (first == 0) break;
    }
    if (pointers == 0) *inout_at = at;
    out->len = (uint8_t)len;
    return MCORE_OK;
}

/* ---- The header ---- */

mcore_status mcore__dns_read_begin(mcore__dns_reader *reader, mcore_slice message,
                                   mcore__dns_header *out) {
    const uint8_t *at = message.data;
    *reader = (mcore__dns_reader){0};
    if (message.len < MCORE__DNS_HEADER_BYTES || message.len > MCORE__DNS_MESSAGE_BYTES_MAX)
        return MCORE_EPROTO;
    *reader = (mcore__dns_reader){.message = at,
                                  .len = (uint32_t)message.len,
                                  .at = MCORE__DNS_HEADER_BYTES,
                                  .questions_left = get_u16(at + 4)};
    for (int i = 0; i < 3; i++) reader->records_left[i] = get_u16(at + 6 + 2 * i);
    *out = (mcore__dns_header){.id = get_u16(at),
                               .opcode = at[2] >> 3 & 15,
                               .rcode = at[3] & 15,
                               .response = at[2] >> 7,
                               .authoritative = at[2] >> 2 & 1,
                               .truncated = at[2] >> 1 & 1,
                               .recursion_desired = at[2] & 1,
                               .recursion_available = at[3] >> 7};
    return MCORE_OK;
}

/* Nothing is read any more. */
static mcore_status broken(mcore__dns_reader *reader) {
    reader->questions_left = 0;
    memset(reader->records_left, 0, sizeof reader->records_left);
    return MCORE_EPROTO;
}

/* ---- Questions ---- */

static mcore_status read_question(mcore__dns_reader *r, mcore__dns_question *out) {
    mcore_status status = read_name(r, &r->at, r->len, &out->name);
    if (status < 0 || r->len - r->at < 4) return MCORE_EPROTO;
    uint16_t class_code = get_u16(r->message + r->at + 2);
    out->type = get_u16(r->message + r->at);
    out->class_code = class_code & 0x7fff;
    out->unicast_response = class_code >> 15;
    r->at += 4;
    return MCORE_OK;
}

mcore_status mcore__dns_read_question(mcore__dns_reader *reader, mcore__dns_question *out) {
    if (reader->questions_left == 0) return MCORE_ENOENT;
    reader->questions_left--;
    return read_question(reader, out) < 0 ? broken(reader) : MCORE_OK;
}

/* ---- Records ---- */

/* Names in the data, then numbers: the record's data is `at` to `end`. */
static mcore_status read_named(const mcore__dns_reader *r, uint32_t at, uint32_t end,
                               mcore__dns_record *out) {
    if (out->type == MCORE__DNS_SRV) {
        if (end - at < 6) return MCORE_EPROTO;
        out->priority = get_u16(r->message + at);
        out->weight = get_u16(r->message + at + 2);
        out->port = get_u16(r->message + at + 4);
        at += 6;
    }
    if (read_name(r, &at, end, &out->target) < 0) return MCORE_EPROTO;
    if (out->type == MCORE__DNS_SOA) {
        mcore__dns_name mailbox;
        if (read_name(r, &at, end, &mailbox) < 0 || end - at != 20) return MCORE_EPROTO;
        out->minimum_s = get_u32(r->message + at + 16);
        return MCORE_OK;
    }
    if (out->type == MCORE__DNS_NSEC) {
        out->data = (mcore_slice){r->message + at, end - at};
        return MCORE_OK;
    }
    return at == end ? MCORE_OK : MCORE_EPROTO;
}

static mcore_status read_data(const mcore__dns_reader *r, uint32_t at, uint32_t end,
                              mcore__dns_record *out) {
    uint32_t len = end - at;
    switch (out->type) {
    case MCORE__DNS_A:
    case MCORE__DNS_AAAA:
        if (len != (out->type == MCORE__DNS_A ? 4u : 16u)) return MCORE_EPROTO;
        memcpy(out->address, r->message + at, len);
        return MCORE_OK;
    case MCORE__DNS_NS:
    case MCORE__DNS_CNAME:
    case MCORE__DNS_SOA:
    case MCORE__DNS_PTR:
    case MCORE__DNS_SRV:
    case MCORE__DNS_NSEC:
        return read_named(r, at, end, out);
    default:
        out->data = (mcore_slice){r->message + at, len};
        if (out->type == MCORE__DNS_TXT && !mcore__dns_strings_whole(out->data))
            return MCORE_EPROTO;
        return MCORE_OK;
    }
}

static mcore_status read_record(mcore__dns_reader *r, mcore__dns_record *out) {
    if (read_name(r, &r->at, r->len, &out->name) < 0 || r->len - r->at < 10) return MCORE_EPROTO;
    const uint8_t *head = r->message + r->at;
    out->type = get_u16(head);
    out->class_code = get_u16(head + 2);
    out->ttl_s = get_u32(head + 4);
    out->cache_flush = 0;
    out->data = (mcore_slice){NULL, 0};
    if (out->type != MCORE__DNS_OPT) {
        out->cache_flush = out->class_code >> 15;
        out->class_code &= 0x7fff;
        if (out->ttl_s > INT32_MAX) out->ttl_s = 0; /* RFC 2181 8 */
    }
    uint32_t at = r->at + 10, len = get_u16(head + 8);
    if (r->len - at < len) return MCORE_EPROTO;
    r->at = at + len;
    /* A record without data is what an update (RFC 2136) has; nobody can use it here. */
    return read_data(r, at, at + len, out);
}

mcore_status mcore__dns_read_record(mcore__dns_reader *reader, mcore__dns_record *out) {
    mcore__dns_question skipped;
    mcore_status status = MCORE_OK;
    while (status == MCORE_OK) status = mcore__dns_read_question(reader, &skipped);
    if (status != MCORE_ENOENT) return status;
    for (uint8_t section = 0; section < 3; section++) {
        if (reader->records_left[section] == 0) continue;
        reader->records_left[section]--;
        out->section = section;
        return read_record(reader, out) < 0 ? broken(reader) : MCORE_OK;
    }
    return MCORE_ENOENT;
}

/* ---- Data ---- */

int mcore__dns_next_string(mcore_slice *inout_data, mcore_slice *out_string) {
    if (inout_data->len == 0) return 0;
    const uint8_t *at = inout_data->data;
    if (inout_data->len - 1 < at[0]) return 0;
    *out_string = (mcore_slice){at + 1, at[0]};
    *inout_data = (mcore_slice){at + 1 + at[0], inout_data->len - 1 - at[0]};
    return 1;
}

int mcore__dns_strings_whole(mcore_slice data) {
    mcore_slice string;
    while (mcore__dns_next_string(&data, &string)) {
    }
    return data.len == 0;
}

int mcore__dns_types_have(mcore_slice data, uint16_t type) {
    const uint8_t *at = data.data;
    size_t left = data.len;
    while (left >= 2 && left - 2 >= at[1]) { /* a window: its number, its length, its bits */
        uint32_t byte = (type & 0xffu) / 8;
        if (at[0] == type >> 8) return byte < at[1] && (at[2 + byte] >> (7 - type % 8) & 1);
        left -= 2u + at[1];
        at += 2 + at[1];
    }
    return 0;
}
