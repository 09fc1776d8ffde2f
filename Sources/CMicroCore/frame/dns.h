/* Messages of DNS: RFC 1035, SRV (2782), AAAA (3596), EDNS0 (6891), and what multicast DNS (6762)
 * and DNS-SD (6763) have of their own. Pure.
 *
 * A reader is a cursor over the bytes of a message that never allocates. A writer fills the
 * caller's bytes: what does not fit is not written at all, and known. Both speak in the same
 * questions and records, of which only the fields of the record's type count. */
#ifndef MCORE_FRAME_DNS_H
#define MCORE_FRAME_DNS_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

enum {
    MCORE__DNS_HEADER_BYTES = 12,
    MCORE__DNS_MESSAGE_BYTES_MAX = 65535,
    MCORE__DNS_NAME_BYTES_MAX = 255, /* on the wire, with the root label that ends it */
    MCORE__DNS_LABEL_BYTES_MAX = 63,
    MCORE__DNS_NAME_TEXT_BYTES = 1012, /* enough for any name as text, with its 0 */
    MCORE__DNS_TYPES_BYTES_MAX = 34    /* of mcore__dns_types_write */
};

enum {
    MCORE__DNS_A = 1,
    MCORE__DNS_NS = 2,
    MCORE__DNS_CNAME = 5,
    MCORE__DNS_SOA = 6,
    MCORE__DNS_PTR = 12,
    MCORE__DNS_TXT = 16,
    MCORE__DNS_AAAA = 28,
    MCORE__DNS_SRV = 33,
    MCORE__DNS_OPT = 41,
    MCORE__DNS_NSEC = 47,
    MCORE__DNS_ANY = 255
};

enum { MCORE__DNS_IN = 1, MCORE__DNS_CLASS_ANY = 255 };

enum {
    MCORE__DNS_NOERROR = 0,
    MCORE__DNS_FORMERR = 1,
    MCORE__DNS_SERVFAIL = 2,
    MCORE__DNS_NXDOMAIN = 3,
    MCORE__DNS_NOTIMP = 4,
    MCORE__DNS_REFUSED = 5
};

/* ---- Names (dns_name.c) ---- */

/* A name in its wire form, without compression: labels behind their lengths, then a 0. Labels are
 * any bytes. All zero is the root. */
typedef struct mcore__dns_name {
    uint8_t len; /* of `bytes`, with the 0; 0 stands for the root, too */
    uint8_t bytes[MCORE__DNS_NAME_BYTES_MAX];
} mcore__dns_name;

/* Reads text: labels between dots, with or without a last one; "\." is a dot inside of a label,
 * "\\" a backslash, "\DDD" the byte of that decimal number. Empty, or ".", is the root.
 * Errors: MCORE_EINVAL (an empty or too long label or name, a wrong escape): *out is the root. */
mcore_status mcore__dns_name_parse(mcore_slice text, mcore__dns_name *out);

/* Writes text that mcore__dns_name_parse reads as the same name, without a last dot: dots and
 * backslashes escaped, bytes other than 0x20 to 0x7e as "\DDD". The root is ".". Returns its
 * length; a 0 follows. */
size_t mcore__dns_name_format(const mcore__dns_name *name, char out[MCORE__DNS_NAME_TEXT_BYTES]);

/* One more label, or all labels of another name, in front of the root.
 * Errors: MCORE_EINVAL (empty, or too long): *name is as it was. */
mcore_status mcore__dns_name_append_label(mcore__dns_name *name, mcore_slice label);
mcore_status mcore__dns_name_append(mcore__dns_name *name, const mcore__dns_name *suffix);

/* Steps through the labels: `*inout_at` is 0 at first. Returns 0 behind the last one. */
int mcore__dns_name_next_label(const mcore__dns_name *name, uint32_t *inout_at,
                               mcore_slice *out_label);
uint32_t mcore__dns_name_label_count(const mcore__dns_name *name);
/* The name without its first `count` labels; the root when it has no more. */
mcore__dns_name mcore__dns_name_parent(const mcore__dns_name *name, uint32_t count);

/* Without regard to the case of ASCII letters, as DNS wants it (RFC 4343). */
int mcore__dns_name_equal(const mcore__dns_name *a, const mcore__dns_name *b);
int mcore__dns_name_ends_with(const mcore__dns_name *name, const mcore__dns_name *suffix);
/* ASCII letters in lower case: equal names have equal bytes then. */
void mcore__dns_name_lower(mcore__dns_name *name);
/* With regard to case: what was asked in mixed case has to come back so. */
int mcore__dns_name_identical(const mcore__dns_name *a, const mcore__dns_name *b);

/* ---- Questions and records ---- */

typedef struct mcore__dns_header {
    uint16_t id;
    uint8_t opcode; /* 0: a query */
    uint8_t rcode;  /* the lower 4 bits; the upper ones are in OPT */
    uint8_t response;
    uint8_t authoritative;
    uint8_t truncated;
    uint8_t recursion_desired;
    uint8_t recursion_available;
} mcore__dns_header;

typedef struct mcore__dns_question {
    mcore__dns_name name;
    uint16_t type;
    uint16_t class_code;      /* without the bit below */
    uint8_t unicast_response; /* multicast DNS: QU, the answer may come by unicast */
} mcore__dns_question;

enum { MCORE__DNS_ANSWER, MCORE__DNS_AUTHORITY, MCORE__DNS_ADDITIONAL };

typedef struct mcore__dns_record {
    mcore__dns_name name;
    uint16_t type;
    uint16_t class_code; /* without the bit below; OPT: the largest UDP payload of the sender */
    uint8_t section;
    uint8_t cache_flush; /* multicast DNS: older records of that name and type are void */
    uint32_t ttl_s;      /* at most 2^31-1; OPT: mcore__dns_extended_rcode */
    uint8_t address[16]; /* A: the first 4; AAAA */
    uint16_t priority, weight, port; /* SRV */
    mcore__dns_name target;          /* CNAME, NS, PTR, SRV; SOA: primary; NSEC: next name */
    uint32_t minimum_s;              /* SOA: TTL of negative answers (RFC 2308) */
    mcore_slice data; /* TXT: strings; NSEC: types; types not named above: all of it. A record that
                         was read borrows it from the message. */
} mcore__dns_record;

/* The rcode of a message with an OPT record of that ttl_s. */
static inline uint32_t mcore__dns_extended_rcode(const mcore__dns_header *header, uint32_t ttl_s) {
    return ttl_s >> 24 << 4 | header->rcode;
}

/* Steps through the strings of a TXT record, each a length and so many bytes. Returns 0 behind the
 * last one. */
int mcore__dns_next_string(mcore_slice *inout_data, mcore_slice *out_string);
/* 1 when nothing is left behind the last one. */
int mcore__dns_strings_whole(mcore_slice data);
/* Appends a string to the data of a TXT record. Errors: MCORE_EINVAL (longer than 255 bytes),
 * MCORE_ELIMIT (it does not fit). */
mcore_status mcore__dns_append_string(uint8_t *data, size_t *inout_len, size_t limit,
                                      mcore_slice string);

/* Writes the types below 256 as the data of an NSEC record (RFC 4034 4.1.2). Returns the length. */
size_t mcore__dns_types_write(const uint16_t *types, uint32_t count,
                              uint8_t out[MCORE__DNS_TYPES_BYTES_MAX]);
int mcore__dns_types_have(mcore_slice data, uint16_t type);

/* Orders by class, type and data as they are on the wire without compression, which is how two who
 * claim the same name find a winner (RFC 6762 8.2). 0: the same, whatever name and TTL are. */
int mcore__dns_record_compare(const mcore__dns_record *a, const mcore__dns_record *b);

/* ---- Reading (dns_reader.c) ---- */

typedef struct mcore__dns_reader {
    const uint8_t *message;
    uint32_t len;
    uint32_t at;
    uint16_t questions_left;
    uint16_t records_left[3]; /* by section */
} mcore__dns_reader;

/* Begins to read. The message stays borrowed. Errors: MCORE_EPROTO (shorter than a header, longer
 * than a message). */
mcore_status mcore__dns_read_begin(mcore__dns_reader *reader, mcore_slice message,
                                   mcore__dns_header *out);
/* The next question, or record of any section in the order of the message; records skip what is
 * left of the questions. Records are checked: the data of a type that is known here has to be
 * whole. Names may point back only, each pointer further back than the one before.
 * Errors: MCORE_ENOENT (there is none left), MCORE_EPROTO: nothing more can be read. */
mcore_status mcore__dns_read_question(mcore__dns_reader *reader, mcore__dns_question *out);
mcore_status mcore__dns_read_record(mcore__dns_reader *reader, mcore__dns_record *out);

/* ---- Writing (dns_writer.c) ---- */

enum { MCORE__DNS_WRITER_SUFFIXES = 128 };

typedef struct mcore__dns_writer {
    uint8_t *out;
    uint32_t len;
    uint32_t limit;
    uint8_t multicast; /* set it to compress what RFC 2782 and 4034 forbid and RFC 6762 wants */
    uint8_t plain;     /* nothing is compressed */
    uint8_t section;   /* of the latest record */
    uint8_t full;      /* something did not fit */
    uint16_t counts[4];
    uint16_t suffix_count;
    uint16_t suffixes[MCORE__DNS_WRITER_SUFFIXES]; /* where names are that can be pointed at */
} mcore__dns_writer;

/* Begins a message in `out`. Errors: MCORE_ELIMIT (no room for a header). */
mcore_status mcore__dns_write_begin(mcore__dns_writer *writer, uint8_t *out, size_t limit,
                                    const mcore__dns_header *header);
/* Appends. Questions come first, then records by section.
 * Errors: MCORE_ELIMIT (it does not fit: writer->full is set, the message is as it was, and a
 * smaller one may still fit), MCORE_EINVAL (out of order, or data that the type can't have). */
mcore_status mcore__dns_write_question(mcore__dns_writer *writer,
                                       const mcore__dns_question *question);
mcore_status mcore__dns_write_record(mcore__dns_writer *writer, const mcore__dns_record *record);
/* Completes the header and returns the length of the message. `truncated` is what the header then
 * says (TC); a server says writer->full. The writer can go on after it, and end again. */
uint32_t mcore__dns_write_end(mcore__dns_writer *writer, int truncated);

#endif
