#include "frame/dns.h"

#include <string.h>

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte; }

/* Of the wire form, with the 0. */
static uint32_t wire_len(const mcore__dns_name *name) { return name->len ? name->len : 1; }

static int is_digit(char c) { return c >= '0' && c <= '9'; }

/* ---- Building ---- */

mcore_status mcore__dns_name_append_label(mcore__dns_name *name, mcore_slice label) {
    uint32_t len = wire_len(name);
    if (label.len == 0 || label.len > MCORE__DNS_LABEL_BYTES_MAX) return MCORE_EINVAL;
    if (len + label.len + 1 > MCORE__DNS_NAME_BYTES_MAX) return MCORE_EINVAL;
    name->bytes[len - 1] = (uint8_t)label.len;
    memcpy(name->bytes + len, label.data, label.len);
    len += (uint32_t)label.len + 1;
    name->bytes[len - 1] = 0;
    name->len = (uint8_t)len;
    return MCORE_OK;
}

mcore_status mcore__dns_name_append(mcore__dns_name *name, const mcore__dns_name *suffix) {
    uint32_t len = wire_len(name) - 1, more = wire_len(suffix);
    if (len + more > MCORE__DNS_NAME_BYTES_MAX) return MCORE_EINVAL;
    memmove(name->bytes + len, suffix->bytes, more); /* a name may be appended to itself */
    name->bytes[len + more - 1] = 0;
    name->len = (uint8_t)(len + more);
    return MCORE_OK;
}

/* ---- Text ---- */

/* Takes one byte of a label off the text. Returns 0 when the escape is wrong. */
static int take_byte(const char *text, size_t len, size_t *inout_at, uint8_t *out) {
    size_t at = *inout_at;
    if (text[at] != '\\') {
        *out = (uint8_t)text[at];
        *inout_at = at + 1;
        return 1;
    }
    if (++at == len) return 0;
    if (!is_digit(text[at])) {
        *out = (uint8_t)text[at];
        *inout_at = at + 1;
        return 1;
    }
    if (len - at < 3 || !is_digit(text[at + 1]) || !is_digit(text[at + 2])) return 0;
    int value = (text[at] - '0') * 100 + (text[at + 1] - '0') * 10 + (text[at + 2] - '0');
    if (value > 255) return 0;
    *out = (uint8_t)value;
    *inout_at = at + 3;
    return 1;
}

static mcore_status parse(const char *text, size_t len, mcore__dns_name *out) {
    size_t at = 0;
    while (at < len) {
        uint8_t label[MCORE__DNS_LABEL_BYTES_MAX];
        size_t label_len = 0;
        while (at < len && text[at] != '.') {
            if (label_len == sizeof label) return MCORE_EINVAL;
            if (!take_byte(text, len, &at, &label[label_len++])) return MCORE_EINVAL;
        }
        at++; /* the dot */
        mcore_status status = mcore__dns_name_append_label(out, (mcore_slice){label, label_len});
        if (status < 0) return status;
    }
    return MCORE_OK;
}

mcore_status mcore__dns_name_parse(mcore_slice text, mcore__dns_name *out) {
    *out = (mcore__dns_name){.len = 1};
    if (text.len == 1 && *(const char *)text.data == '.') return MCORE_OK;
    mcore_status status = parse(text.data, text.len, out);
    if (status < 0) *out = (mcore__dns_name){.len = 1};
    return status;
}

static char *format_byte(char *at, uint8_t byte) {
    if (byte == '.' || byte == '\\') {
        *at++ = '\\';
        *at++ = (char)byte;
    } else if (byte >= 0x20 && byte <= 0x7e) {
        *at++ = (char)byte;
    } else {
        *at++ = '\\';
        *at++ = (char)('0' + byte / 100);
        *at++ = (char)('0' + byte / 10 % 10);
        *at++ = (char)('0' + byte % 10);
    }
    return at;
}

size_t mcore__dns_name_format(const mcore__dns_name *name, char out[MCORE__DNS_NAME_TEXT_BYTES]) {
    char *end = out;
    uint32_t at = 0;
    mcore_slice label;
    while (mcore__dns_name_next_label(name, &at, &label)) {
        if (end > out) *end++ = '.';
        for (size_t i = 0; i < label.len; i++)
            end = format_byte(end, ((const uint8_t *)label.data)[i]);
    }
    if (end == out) *end++ = '.';
    *end = 0;
    return (size_t)(end - out);
}

/* ---- Labels ---- */

int mcore__dns_name_next_label(const mcore__dns_name *name, uint32_t *inout_at,
                               mcore_slice *out_label) {
    uint32_t at = *inout_at;
    if (at + 1 >= name->len) return 0;
    *out_label = (mcore_slice){name->bytes + at + 1, name->bytes[at]};
    *inout_at = at + 1 + name->bytes[at];
    return 1;
}

uint32_t mcore__dns_name_label_count(const mcore__dns_name *name) {
    uint32_t at = 0, count = 0;
    mcore_slice label;
    while (mcore__dns_name_next_label(name, &at, &label)) count++;
    return count;
}

mcore__dns_name mcore__dns_name_parent(const mcore__dns_name *name, uint32_t count) {
    uint32_t at = 0;
    mcore_slice label;
    while (count-- > 0 && mcore__dns_name_next_label(name, &at, &label)) {
    }
    mcore__dns_name parent = {0};
    parent.len = (uint8_t)(name->len - at);
    memcpy(parent.bytes, name->bytes + at, parent.len);
    return parent;
}

/* ---- Comparing ---- */

static int equal_bytes(const uint8_t *a, const uint8_t *b, uint32_t len) {
    /* Lengths of labels are below 'A'. */
    for (uint32_t i = 0; i < len; i++)
        if (lower(a[i]) != lower(b[i])) return 0;
    return 1;
}

int mcore__dns_name_equal(const mcore__dns_name *a, const mcore__dns_name *b) {
    uint32_t len = wire_len(a);
    return len == wire_len(b) && equal_bytes(a->bytes, b->bytes, len);
}

int mcore__dns_name_ends_with(const mcore__dns_name *name, const mcore__dns_name *suffix) {
    uint32_t len = wire_len(name), suffix_len = wire_len(suffix), at = 0;
    if (suffix_len > len) return 0;
    mcore_slice label;
    while (len - at > suffix_len)
        if (!mcore__dns_name_next_label(name, &at, &label)) return 0;
    return len - at == suffix_len && equal_bytes(name->bytes + at, suffix->bytes, suffix_len);
}

void mcore__dns_name_lower(mcore__dns_name *name) {
    for (uint32_t i = 0; i < name->len; i++) name->bytes[i] = lower(name->bytes[i]);
}

int mcore__dns_name_identical(const mcore__dns_name *a, const mcore__dns_name *b) {
    uint32_t len = wire_len(a);
    return len == wire_len(b) && memcmp(a->bytes, b->bytes, len) == 0;
}
