/* Messages of DNS: what is read is written, compressed in each way, and read again as the same; and
 * its names are the same as text. */
#include "fuzz.h"

#include "frame/dns.h"

#include <string.h>

enum { QUESTIONS_MAX = 16, RECORDS_MAX = 128 };

typedef struct message {
    mcore__dns_header header;
    mcore__dns_question questions[QUESTIONS_MAX];
    mcore__dns_record records[RECORDS_MAX];
    uint32_t question_count, record_count;
} message;

static message first, again;
static uint8_t written[MCORE__DNS_MESSAGE_BYTES_MAX];

/* ---- Reading ---- */

static void check_name(const mcore__dns_name *name) {
    char text[MCORE__DNS_NAME_TEXT_BYTES];
    mcore__dns_name same;
    size_t len = mcore__dns_name_format(name, text);
    CHECK(len > 0 && len < sizeof text && strlen(text) == len);
    CHECK(mcore__dns_name_parse((mcore_slice){text, len}, &same) == MCORE_OK);
    CHECK(mcore__dns_name_identical(name, &same));
}

static void check_record(const mcore__dns_record *record, mcore_slice bytes) {
    mcore_slice data = record->data, string;
    size_t strings = 0;
    check_name(&record->name);
    CHECK(fuzz_inside(data, bytes));
    CHECK(record->type == MCORE__DNS_OPT || record->ttl_s <= INT32_MAX);
    if (record->type == MCORE__DNS_NSEC) mcore__dns_types_have(data, MCORE__DNS_SRV);
    if (record->type != MCORE__DNS_TXT) return;
    while (mcore__dns_next_string(&data, &string)) {
        CHECK(fuzz_inside(string, record->data));
        strings += string.len + 1;
    }
    CHECK(strings == record->data.len && mcore__dns_strings_whole(record->data));
}

/* As much of it as there is room for. Returns whether that is all, and nothing is broken. */
static int read_message(message *m, mcore_slice bytes, int reads_questions) {
    mcore__dns_reader reader;
    mcore_status status;
    m->question_count = m->record_count = 0;
    if (mcore__dns_read_begin(&reader, bytes, &m->header) != MCORE_OK) return 0;
    while (reads_questions && m->question_count < QUESTIONS_MAX) {
        mcore__dns_question *question = &m->questions[m->question_count];
        status = mcore__dns_read_question(&reader, question);
        if (status == MCORE_EPROTO) CHECK(mcore__dns_read_question(&reader, question) != MCORE_OK);
        if (status != MCORE_OK) break;
        m->question_count++;
    }
    do {
        mcore__dns_record *record = &m->records[m->record_count];
        status = mcore__dns_read_record(&reader, record);
        CHECK(reader.at <= bytes.len || status == MCORE_EPROTO);
        if (status != MCORE_OK) break;
        CHECK(m->record_count == 0 || record->section >= record[-1].section);
        check_record(record, bytes);
    } while (++m->record_count < RECORDS_MAX);
    CHECK(status == MCORE_OK || status == MCORE_ENOENT || status == MCORE_EPROTO);
    return status == MCORE_ENOENT;
}

/* ---- Writing ---- */

static int has_target(uint16_t type) {
    return type == MCORE__DNS_NS || type == MCORE__DNS_CNAME || type == MCORE__DNS_PTR ||
           type == MCORE__DNS_SOA || type == MCORE__DNS_SRV || type == MCORE__DNS_NSEC;
}

static void check_same_record(const mcore__dns_record *a, const mcore__dns_record *b) {
    CHECK(mcore__dns_name_identical(&a->name, &b->name));
    CHECK(a->type == b->type && a->class_code == b->class_code && a->section == b->section);
    CHECK(a->cache_flush == b->cache_flush && a->ttl_s == b->ttl_s);
    CHECK(fuzz_same(a->data, b->data));
    CHECK(mcore__dns_record_compare(a, b) == 0);
    if (has_target(a->type)) CHECK(mcore__dns_name_identical(&a->target, &b->target));
    if (a->type == MCORE__DNS_SOA) CHECK(a->minimum_s == b->minimum_s);
    if (a->type == MCORE__DNS_SRV)
        CHECK(a->port == b->port && a->weight == b->weight && a->priority == b->priority);
}

/* What could not be written is taken out of `m`. Returns the length. */
static uint32_t write_message(mcore__dns_writer *writer, message *m) {
    uint32_t questions = 0, records = 0;
    for (uint32_t i = 0; i < m->question_count; i++) {
        mcore_status status = mcore__dns_write_question(writer, &m->questions[i]);
        CHECK(status == MCORE_OK || (status == MCORE_ELIMIT && writer->full));
        if (status == MCORE_OK) m->questions[questions++] = m->questions[i];
    }
    for (uint32_t i = 0; i < m->record_count; i++) {
        const mcore__dns_record *record = &m->records[i];
        mcore_status status = mcore__dns_write_record(writer, record);
        int is_empty = record->type == MCORE__DNS_TXT && record->data.len == 0;
        CHECK(status == MCORE_OK || (status == MCORE_ELIMIT && writer->full) ||
              (status == MCORE_EINVAL && is_empty));
        if (status == MCORE_OK) m->records[records++] = *record;
    }
    m->question_count = questions;
    m->record_count = records;
    return mcore__dns_write_end(writer, m->header.truncated);
}

static void check_written(mcore_slice bytes, int mode, size_t limit) {
    mcore__dns_writer writer;
    read_message(&first, bytes, 1);
    CHECK(mcore__dns_write_begin(&writer, written, limit, &first.header) == MCORE_OK);
    writer.plain = mode == 1;
    writer.multicast = mode == 2;
    uint32_t len = write_message(&writer, &first);
    CHECK(len <= limit);
    CHECK(read_message(&again, (mcore_slice){written, len}, 1) ||
          again.record_count == RECORDS_MAX || again.question_count == QUESTIONS_MAX);
    CHECK(memcmp(&first.header, &again.header, sizeof first.header) == 0);
    CHECK(again.question_count == first.question_count);
    CHECK(again.record_count == first.record_count);
    for (uint32_t i = 0; i < first.question_count; i++) {
        const mcore__dns_question *a = &first.questions[i], *b = &again.questions[i];
        CHECK(mcore__dns_name_identical(&a->name, &b->name));
        CHECK(a->type == b->type && a->class_code == b->class_code);
        CHECK(a->unicast_response == b->unicast_response);
    }
    for (uint32_t i = 0; i < first.record_count; i++)
        check_same_record(&first.records[i], &again.records[i]);
}

FUZZ(dns_message) {
    mcore_slice input = {bytes, len};
    fuzz_choices choices = fuzz_choose_by(bytes, len);
    if (!read_message(&first, input, 0) && len < MCORE__DNS_HEADER_BYTES) return;
    for (uint32_t i = 1; i < first.record_count; i++)
        CHECK(mcore__dns_record_compare(&first.records[i], &first.records[i - 1]) ==
              -mcore__dns_record_compare(&first.records[i - 1], &first.records[i]));
    int mode = (int)fuzz_choice(&choices, 3);
    check_written(input, mode, sizeof written);
    check_written(input, mode, MCORE__DNS_HEADER_BYTES + fuzz_choice(&choices, 100));
}
