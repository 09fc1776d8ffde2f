#include "frame/dns.h"

#include <string.h>

enum { POINTER_MAX = 0x3fff };

/* ---- Numbers ---- */

static void put_u16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static mcore_status write_bytes(mcore__dns_writer *w, const void *bytes, size_t len) {
    if (w->limit - w->len < len) return MCORE_ELIMIT;
    if (len) memcpy(w->out + w->len, bytes, len);
    w->len += (uint32_t)len;
    return MCORE_OK;
}

static mcore_status write_u16(mcore__dns_writer *w, uint32_t value) {
    uint8_t bytes[2];
    put_u16(bytes, value);
    return write_bytes(w, bytes, sizeof bytes);
}

static mcore_status write_u32(mcore__dns_writer *w, uint32_t value) {
    uint8_t bytes[4];
    put_u16(bytes, value >> 16);
    put_u16(bytes + 2, value);
    return write_bytes(w, bytes, sizeof bytes);
}

/* ---- Names ---- */

/* 1 when the name that we wrote at `at` is `suffix`, byte for byte: a name that is pointed at keeps
 * its letters. */
static int written_is(const mcore__dns_writer *w, uint32_t at, const uint8_t *suffix) {
    for (;;) {
        uint8_t len = w->out[at];
        if (len >= 0xc0) {
            at = (uint32_t)(len & 0x3f) << 8 | w->out[at + 1];
            continue;
        }
        if (len != *suffix || memcmp(w->out + at, suffix, len + 1u) != 0) return 0;
        if (len == 0) return 1;
        at += len + 1u;
        suffix += len + 1u;
    }
}

/* Where the suffix was written, 0: nowhere. */
static uint32_t find_suffix(const mcore__dns_writer *w, const uint8_t *suffix) {
    for (uint32_t i = 0; i < w->suffix_count; i++)
        if (written_is(w, w->suffixes[i], suffix)) return w->suffixes[i];
    return 0;
}

/* Suffixes are remembered when the name is complete: until then they can't be compared with. */
static void remember(mcore__dns_writer *w, uint32_t begin, uint32_t end) {
    for (uint32_t at = begin; at < end && at <= POINTER_MAX; at += w->out[at] + 1u)
        if (w->suffix_count < MCORE__DNS_WRITER_SUFFIXES)
            w->suffixes[w->suffix_count++] = (uint16_t)at;
}

static mcore_status write_name(mcore__dns_writer *w, const mcore__dns_name *name, int compress) {
    uint32_t begin = w->len, at = 0, pointer = 0;
    mcore_slice label;
    for (;;) {
        uint32_t here = at;
        if (compress && !w->plain && here + 1 < name->len)
            pointer = find_suffix(w, name->bytes + here);
        if (pointer || !mcore__dns_name_next_label(name, &at, &label)) break;
        mcore_status status = write_bytes(w, name->bytes + here, at - here);
        if (status < 0) return status;
    }
    uint32_t end = w->len;
    mcore_status status =
        pointer ? write_u16(w, 0xc000u | pointer) : write_bytes(w, (const uint8_t[1]){0}, 1);
    if (status == MCORE_OK) remember(w, begin, end);
    return status;
}

/* ---- The message ---- */

mcore_status mcore__dns_write_begin(mcore__dns_writer *writer, uint8_t *out, size_t limit,
                                    const mcore__dns_header *header) {
    if (limit < MCORE__DNS_HEADER_BYTES) return MCORE_ELIMIT;
    if (limit > MCORE__DNS_MESSAGE_BYTES_MAX) limit = MCORE__DNS_MESSAGE_BYTES_MAX;
    writer->out = out;
    writer->len = MCORE__DNS_HEADER_BYTES;
    writer->limit = (uint32_t)limit;
    writer->multicast = writer->plain = writer->section = writer->full = 0;
    memset(writer->counts, 0, sizeof writer->counts);
    writer->suffix_count = 0;
    memset(out, 0, MCORE__DNS_HEADER_BYTES);
    put_u16(out, header->id);
    out[2] = (uint8_t)(!!header->response << 7 | (header->opcode & 15) << 3 |
                       !!header->authoritative << 2 | !!header->recursion_desired);
    out[3] = (uint8_t)(!!header->recursion_available << 7 | (header->rcode & 15));
    return MCORE_OK;
}

uint32_t mcore__dns_write_end(mcore__dns_writer *writer, int truncated) {
    writer->out[2] = (uint8_t)((writer->out[2] & ~2) | (truncated ? 2 : 0));
    for (int i = 0; i < 4; i++) put_u16(writer->out + 4 + 2 * i, writer->counts[i]);
    return writer->len;
}

/* Takes back what was written behind `len`. */
static mcore_status take_back(mcore__dns_writer *w, uint32_t len, mcore_status status) {
    w->len = len;
    while (w->suffix_count > 0 && w->suffixes[w->suffix_count - 1] >= len) w->suffix_count--;
    if (status == MCORE_ELIMIT) w->full = 1;
    return status;
}

/* ---- Questions ---- */

static mcore_status write_question(mcore__dns_writer *w, const mcore__dns_question *question) {
    mcore_status status = write_name(w, &question->name, 1);
    if (status == MCORE_OK) status = write_u16(w, question->type);
    if (status < 0) return status;
    return write_u16(w, question->class_code | (question->unicast_response ? 0x8000u : 0));
}

mcore_status mcore__dns_write_question(mcore__dns_writer *writer,
                                       const mcore__dns_question *question) {
    uint32_t len = writer->len;
    if (writer->counts[1] || writer->counts[2] || writer->counts[3]) return MCORE_EINVAL;
    if (writer->counts[0] == UINT16_MAX) return take_back(writer, len, MCORE_ELIMIT);
    mcore_status status = write_question(writer, question);
    if (status < 0) return take_back(writer, len, status);
    writer->counts[0]++;
    return MCORE_OK;
}

/* ---- Records ---- */

static mcore_status write_srv(mcore__dns_writer *w, const mcore__dns_record *record) {
    mcore_status status = write_u16(w, record->priority);
    if (status == MCORE_OK) status = write_u16(w, record->weight);
    if (status == MCORE_OK) status = write_u16(w, record->port);
    return status < 0 ? status : write_name(w, &record->target, w->multicast);
}

/* The mailbox is the root, the serial number and the times of a secondary server are 0. */
static mcore_status write_soa(mcore__dns_writer *w, const mcore__dns_record *record) {
    static const uint8_t zeros[17];
    mcore_status status = write_name(w, &record->target, 1);
    if (status == MCORE_OK) status = write_bytes(w, zeros, sizeof zeros);
    return status < 0 ? status : write_u32(w, record->minimum_s);
}

static mcore_status write_data(mcore__dns_writer *w, const mcore__dns_record *record) {
    mcore_status status;
    switch (record->type) {
    case MCORE__DNS_A:
        return write_bytes(w, record->address, 4);
    case MCORE__DNS_AAAA:
        return write_bytes(w, record->address, 16);
    case MCORE__DNS_NS:
    case MCORE__DNS_CNAME:
    case MCORE__DNS_PTR:
        return write_name(w, &record->target, 1);
    case MCORE__DNS_SOA:
        return write_soa(w, record);
    case MCORE__DNS_SRV:
        return write_srv(w, record);
    case MCORE__DNS_NSEC:
        status = write_name(w, &record->target, w->multicast);
        return status < 0 ? status : write_bytes(w, record->data.data, record->data.len);
    default:
        return write_bytes(w, record->data.data, record->data.len);
    }
}

static uint32_t class_of(const mcore__dns_record *record) {
    uint32_t flush = record->type != MCORE__DNS_OPT && record->cache_flush ? 0x8000u : 0;
    return record->class_code | flush;
}

static mcore_status write_record(mcore__dns_writer *w, const mcore__dns_record *record) {
    mcore_status status = write_name(w, &record->name, 1);
    if (status == MCORE_OK) status = write_u16(w, record->type);
    if (status == MCORE_OK) status = write_u16(w, class_of(record));
    if (status == MCORE_OK) status = write_u32(w, record->ttl_s);
    if (status == MCORE_OK) status = write_u16(w, 0); /* the length of the data is not known yet */
    uint32_t begin = w->len;
    if (status == MCORE_OK) status = write_data(w, record);
    if (status == MCORE_OK) put_u16(w->out + begin - 2, w->len - begin);
    return status;
}

mcore_status mcore__dns_write_record(mcore__dns_writer *writer, const mcore__dns_record *record) {
    uint32_t len = writer->len;
    if (record->section < writer->section || record->section > MCORE__DNS_ADDITIONAL)
        return MCORE_EINVAL;
    if (record->type == MCORE__DNS_TXT &&
        (record->data.len == 0 || !mcore__dns_strings_whole(record->data)))
        return MCORE_EINVAL;
    uint16_t *count = &writer->counts[1 + record->section];
    if (*count == UINT16_MAX) return take_back(writer, len, MCORE_ELIMIT);
    mcore_status status = write_record(writer, record);
    if (status < 0) return take_back(writer, len, status);
    writer->section = record->section;
    ++*count;
    return MCORE_OK;
}

/* ---- Data ---- */

mcore_status mcore__dns_append_string(uint8_t *data, size_t *inout_len, size_t limit,
                                      mcore_slice string) {
    size_t len = *inout_len;
    if (string.len > UINT8_MAX) return MCORE_EINVAL;
    if (len > limit || limit - len < string.len + 1) return MCORE_ELIMIT;
    data[len] = (uint8_t)string.len;
    if (string.len) memcpy(data + len + 1, string.data, string.len);
    *inout_len = len + string.len + 1;
    return MCORE_OK;
}

size_t mcore__dns_types_write(const uint16_t *types, uint32_t count,
                              uint8_t out[MCORE__DNS_TYPES_BYTES_MAX]) {
    uint32_t len = 0; /* of the bits */
    memset(out, 0, MCORE__DNS_TYPES_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (types[i] > UINT8_MAX) continue;
        uint32_t byte = types[i] / 8u;
        out[2 + byte] |= (uint8_t)(0x80 >> types[i] % 8);
        if (byte >= len) len = byte + 1;
    }
    out[1] = (uint8_t)len;
    return len ? 2 + len : 0;
}

static int compare_bytes(mcore_slice a, mcore_slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.data, b.data, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

enum { PLAIN_BYTES = 2 * MCORE__DNS_NAME_BYTES_MAX };

/* What is in front of record->data, without compression. */
static mcore_slice plain_data(const mcore__dns_record *record, uint8_t out[PLAIN_BYTES]) {
    mcore__dns_record head = *record;
    mcore__dns_writer writer = {.out = out, .limit = PLAIN_BYTES, .plain = 1};
    head.data = (mcore_slice){NULL, 0};
    (void)write_data(&writer, &head); /* which has room */
    return (mcore_slice){out, writer.len};
}

int mcore__dns_record_compare(const mcore__dns_record *a, const mcore__dns_record *b) {
    uint8_t a_plain[PLAIN_BYTES], b_plain[PLAIN_BYTES];
    if (a->class_code != b->class_code) return a->class_code < b->class_code ? -1 : 1;
    if (a->type != b->type) return a->type < b->type ? -1 : 1;
    int order = compare_bytes(plain_data(a, a_plain), plain_data(b, b_plain));
    return order ? order : compare_bytes(a->data, b->data);
}
