#include "test.h"

#include "frame/dns.h"

#define BYTES(literal) ((mcore_slice){literal, sizeof literal - 1})

static mcore__dns_name name_of(const char *text) {
    mcore__dns_name name;
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(text), &name), MCORE_OK);
    return name;
}

static void check_text(const mcore__dns_name *name, const char *text) {
    char out[MCORE__DNS_NAME_TEXT_BYTES];
    size_t len = mcore__dns_name_format(name, out);
    CHECK_SLICE(((mcore_slice){out, len}), text);
    CHECK_INT(out[len], 0);
}

/* ---- Names ---- */

TEST(names_are_read_and_written_as_text) {
    static const char *const same[] = {
        ".",       "a",        "db.internal",      "A.b.C",           "_grpc._tcp.x",
        "a\\.b.c", "a\\\\b.c", "My Printer.local", "caf\\195\\169.x", "\\000.\\255"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        mcore__dns_name name = name_of(same[i]);
        check_text(&name, same[i]);
    }
    mcore__dns_name name = name_of("db.internal.");
    check_text(&name, "db.internal");
    CHECK_INT(name.len, 13);
    CHECK(memcmp(name.bytes, "\2db\10internal\0", 13) == 0);
    name = name_of("");
    check_text(&name, ".");
    name = name_of("\\097\\098");
    check_text(&name, "ab");
}

TEST(what_is_no_name_is_refused) {
    static const char *const bad[] = {"..", ".a", "a..b", "a\\", "a\\25", "a\\256", "a\\2x5"};
    mcore__dns_name name;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(mcore__dns_name_parse(mcore_slice_of(bad[i]), &name), MCORE_EINVAL);
        check_text(&name, ".");
    }
}

TEST(names_and_labels_have_their_length_at_most) {
    char text[300];
    mcore__dns_name name;
    memset(text, 'a', 64);
    text[63] = 0;
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(text), &name), MCORE_OK);
    text[63] = 'a';
    text[64] = 0;
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(text), &name), MCORE_EINVAL);
    for (int i = 0; i < 127; i++) memcpy(text + 2 * i, "a.", 2); /* 127 labels: 255 bytes */
    text[254] = 0;
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(text), &name), MCORE_OK);
    CHECK_INT(name.len, 255);
    CHECK_INT(mcore__dns_name_label_count(&name), 127);
    mcore__dns_name before = name, one = name_of("b");
    CHECK_INT(mcore__dns_name_append_label(&name, BYTES("b")), MCORE_EINVAL);
    CHECK_INT(mcore__dns_name_append(&name, &one), MCORE_EINVAL);
    CHECK(memcmp(&before, &name, sizeof name) == 0);
    memcpy(text + 254, "b", 2);
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(text), &name), MCORE_EINVAL);
}

TEST(the_longest_text_has_room) {
    mcore__dns_name name = {0};
    uint8_t label[63] = {0};
    for (int i = 0; i < 3; i++)
        CHECK_INT(mcore__dns_name_append_label(&name, (mcore_slice){label, 63}), MCORE_OK);
    CHECK_INT(mcore__dns_name_append_label(&name, (mcore_slice){label, 61}), MCORE_OK);
    CHECK_INT(name.len, 255);
    char out[MCORE__DNS_NAME_TEXT_BYTES];
    CHECK_INT(mcore__dns_name_format(&name, out), 4 * 250 + 3);
    mcore__dns_name again = name_of(out);
    CHECK(mcore__dns_name_identical(&name, &again));
}

TEST(names_are_built_of_labels) {
    mcore__dns_name name = {0}, type = name_of("_http._tcp.local");
    CHECK_INT(mcore__dns_name_append_label(&name, BYTES("a.b c")), MCORE_OK);
    CHECK_INT(mcore__dns_name_append(&name, &type), MCORE_OK);
    check_text(&name, "a\\.b c._http._tcp.local");
    uint32_t at = 0;
    mcore_slice label;
    CHECK(mcore__dns_name_next_label(&name, &at, &label));
    CHECK_SLICE(label, "a.b c");
    mcore__dns_name parent = mcore__dns_name_parent(&name, 1);
    CHECK(mcore__dns_name_identical(&parent, &type));
    parent = mcore__dns_name_parent(&name, 9);
    check_text(&parent, ".");
    CHECK_INT(mcore__dns_name_append_label(&name, BYTES("")), MCORE_EINVAL);
    mcore__dns_name root = {0}, other_root = {0};
    CHECK_INT(mcore__dns_name_append(&root, &other_root), MCORE_OK);
    CHECK(mcore__dns_name_equal(&root, &other_root));
    CHECK_INT(mcore__dns_name_append(&type, &type), MCORE_OK);
    check_text(&type, "_http._tcp.local._http._tcp.local");
}

TEST(case_does_not_matter_but_can) {
    mcore__dns_name a = name_of("WWW.Example.com"), b = name_of("www.eXample.COM");
    CHECK(mcore__dns_name_equal(&a, &b));
    CHECK(!mcore__dns_name_identical(&a, &b));
    mcore__dns_name_lower(&a);
    mcore__dns_name_lower(&b);
    CHECK(mcore__dns_name_identical(&a, &b));
    mcore__dns_name c = name_of("w[w.example.com"), d = name_of("w{w.example.com");
    CHECK(!mcore__dns_name_equal(&c, &d));
    mcore__dns_name suffix = name_of("EXAMPLE.com"), part = name_of("ple.com"), root = {0};
    CHECK(mcore__dns_name_ends_with(&a, &suffix));
    CHECK(mcore__dns_name_ends_with(&suffix, &suffix));
    CHECK(mcore__dns_name_ends_with(&a, &root));
    CHECK(!mcore__dns_name_ends_with(&a, &part));
    CHECK(!mcore__dns_name_ends_with(&suffix, &a));
    CHECK(!mcore__dns_name_ends_with(&root, &a));
}

/* ---- Reading ---- */

/* The answer of a name server to "A example.com": an alias, two addresses, OPT. */
static const char answer[] = "\x12\x34\x81\xa0\0\1\0\3\0\0\0\1"
                             "\7example\3com\0\0\1\0\1"
                             "\xc0\x0c\0\5\0\1\0\0\1\x2c\0\6\3web\xc0\x0c"
                             "\xc0\x29\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
                             "\xc0\x29\0\1\0\1\xff\0\0\0\0\4\x0a\0\0\2"
                             "\0\0\x29\x04\xd0\1\0\x80\0\0\0";

TEST(an_answer_is_read) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_question question;
    mcore__dns_record record;
    CHECK_INT(mcore__dns_read_begin(&reader, BYTES(answer), &header), MCORE_OK);
    CHECK_INT(header.id, 0x1234);
    CHECK(header.response && header.recursion_desired && header.recursion_available);
    CHECK(!header.authoritative && !header.truncated && !header.opcode && !header.rcode);
    CHECK_INT(mcore__dns_read_question(&reader, &question), MCORE_OK);
    check_text(&question.name, "example.com");
    CHECK_INT(question.type, MCORE__DNS_A);
    CHECK_INT(question.class_code, MCORE__DNS_IN);
    CHECK_INT(mcore__dns_read_question(&reader, &question), MCORE_ENOENT);

    CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_OK);
    CHECK_INT(record.type, MCORE__DNS_CNAME);
    CHECK_INT(record.ttl_s, 300);
    check_text(&record.name, "example.com");
    check_text(&record.target, "web.example.com");
    CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_OK);
    CHECK_INT(record.type, MCORE__DNS_A);
    check_text(&record.name, "web.example.com");
    CHECK(memcmp(record.address, "\x0a\0\0\1", 4) == 0);
    CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_OK);
    CHECK_INT(record.ttl_s, 0); /* it had the top bit */
    CHECK_INT(record.section, MCORE__DNS_ANSWER);
    CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_OK);
    CHECK_INT(record.section, MCORE__DNS_ADDITIONAL);
    CHECK_INT(record.type, MCORE__DNS_OPT);
    CHECK_INT(record.class_code, 1232);
    CHECK_INT(mcore__dns_extended_rcode(&header, record.ttl_s), 16);
    CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_ENOENT);
}

/* Reads all of it: the number of records, or an error. */
static int read_all(mcore_slice message) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_record record;
    int count = 0;
    mcore_status status = mcore__dns_read_begin(&reader, message, &header);
    while (status == MCORE_OK) {
        status = mcore__dns_read_record(&reader, &record);
        count += status == MCORE_OK;
    }
    if (status != MCORE_ENOENT) {
        /* Nothing can be read after an error. */
        CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_ENOENT);
        return status;
    }
    return count;
}

TEST(a_message_that_is_cut_anywhere_is_refused) {
    CHECK_INT(read_all(BYTES(answer)), 4);
    for (size_t len = 0; len < sizeof answer - 1; len++) {
        uint8_t *copy = malloc(len + !len); /* whose end is guarded */
        memcpy(copy, answer, len);
        int read = read_all((mcore_slice){copy, len});
        free(copy);
        CHECK_INT(read, MCORE_EPROTO);
    }
}

#define ONE_QUESTION "\0\1\0\0\0\1\0\0\0\0\0\0"
#define ONE_ANSWER "\0\1\x80\0\0\0\0\1\0\0\0\0"

TEST(hostile_names_are_refused) {
    static const mcore_slice bad[] = {
        BYTES(ONE_QUESTION "\xc0\x0c\0\1\0\1"),      /* points at itself */
        BYTES(ONE_QUESTION "\1a\xc0\x0c\0\1\0\1"),   /* grows for ever */
        BYTES(ONE_QUESTION "\xc0\x0e\1a\0\0\1\0\1"), /* points forward */
        BYTES(ONE_QUESTION "\xc0\x00\0\1\0\1"),      /* into the header */
        BYTES(ONE_QUESTION "\xff\xff\0\1\0\1"),      /* behind the end */
        BYTES(ONE_QUESTION "\xc0"),                  /* half a pointer */
        BYTES(ONE_QUESTION "\x40"
                           "a\0\0\1\0\1"), /* label types of the past */
        BYTES(ONE_QUESTION "\x80"
                           "a\0\0\1\0\1"),
        BYTES(ONE_QUESTION "\5ab\0\0\1\0\1"),             /* a label behind the end */
        BYTES(ONE_QUESTION "\1a"),                        /* no end */
        BYTES(ONE_QUESTION "\1a\0\0\1\0"),                /* half a class */
        BYTES(ONE_ANSWER "\0\0\5\0\1\0\0\0\0\0\3\1a\0x"), /* what follows is not ours */
    };
    for (size_t i = 0; i + 1 < sizeof bad / sizeof *bad; i++)
        CHECK_INT(read_all(bad[i]), MCORE_EPROTO);
    CHECK_INT(read_all(bad[sizeof bad / sizeof *bad - 1]), 1); /* what follows is not ours */
}

TEST(chains_of_pointers_end) {
    /* Questions whose names are pointers at each other, each further back. */
    uint8_t message[4096] = {0};
    uint32_t at = 12, count = 0;
    memcpy(message + at, "\1a\0\0\1\0\1", 7);
    uint32_t target = at;
    at += 7;
    count++;
    for (; count < 200; count++) {
        message[at] = (uint8_t)(0xc0 | target >> 8);
        message[at + 1] = (uint8_t)target;
        memcpy(message + at + 2, "\0\1\0\1", 4);
        target = at;
        at += 6;
    }
    message[5] = 128;
    CHECK_INT(read_all((mcore_slice){message, at}), 0);
    message[5] = 129;
    CHECK_INT(read_all((mcore_slice){message, at}), MCORE_EPROTO);
}

TEST(data_of_the_wrong_length_is_refused) {
    static const mcore_slice bad[] = {
        BYTES(ONE_ANSWER "\0\0\1\0\1\0\0\0\0\0\3\1\2\3"),         /* A */
        BYTES(ONE_ANSWER "\0\0\1\0\1\0\0\0\0\0\0"),               /* A without */
        BYTES(ONE_ANSWER "\0\0\x1c\0\1\0\0\0\0\0\4\1\2\3\4"),     /* AAAA */
        BYTES(ONE_ANSWER "\0\0\5\0\1\0\0\0\0\0\4\1a\0x"),         /* CNAME and more */
        BYTES(ONE_ANSWER "\0\0\5\0\1\0\0\0\0\0\2\1a\0"),          /* CNAME cut */
        BYTES(ONE_ANSWER "\0\0\5\0\1\0\0\0\0\0\0"),               /* CNAME without */
        BYTES(ONE_ANSWER "\0\0\x21\0\1\0\0\0\0\0\5\0\0\0\0\0"),   /* SRV */
        BYTES(ONE_ANSWER "\0\0\x21\0\1\0\0\0\0\0\6\0\0\0\0\0\0"), /* SRV without target */
        BYTES(ONE_ANSWER "\0\0\x10\0\1\0\0\0\0\0\2\2a"),          /* TXT */
        BYTES(ONE_ANSWER "\0\0\6\0\1\0\0\0\0\0\2\0\0"),           /* SOA */
        BYTES(ONE_ANSWER "\0\0\1\0\1\0\0\0\0\0\4\1\2\3"),         /* cut */
        BYTES("\0\1\x80\0\0\0\xff\xff\xff\xff\xff\xff"
              "\0\0\1\0\1"), /* counts that can't be */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_INT(read_all(bad[i]), MCORE_EPROTO);
    uint8_t *long_one = calloc(1, 65536);
    CHECK_INT(read_all((mcore_slice){long_one, 65536}), MCORE_EPROTO);
    CHECK_INT(read_all((mcore_slice){long_one, 65535}), 0);
    free(long_one);
    /* Types that we don't know have any data, also none; so may TXT. */
    CHECK_INT(read_all(BYTES(ONE_ANSWER "\0\xff\1\0\1\0\0\0\0\0\0")), 1);
    CHECK_INT(read_all(BYTES(ONE_ANSWER "\0\0\x10\0\1\0\0\0\0\0\0")), 1);
}

/* ---- Writing ---- */

static mcore__dns_record record_of(const char *name, uint16_t type, uint8_t section) {
    return (mcore__dns_record){.name = name_of(name),
                               .type = type,
                               .class_code = MCORE__DNS_IN,
                               .ttl_s = 120,
                               .section = section};
}

static void check_same(const mcore__dns_record *read, const mcore__dns_record *written) {
    CHECK(mcore__dns_name_identical(&read->name, &written->name));
    CHECK_INT(read->type, written->type);
    CHECK_INT(read->class_code, written->class_code);
    CHECK_INT(read->section, written->section);
    CHECK_INT(read->cache_flush, written->cache_flush);
    CHECK_INT(read->ttl_s, written->ttl_s);
    CHECK_INT(mcore__dns_record_compare(read, written), 0);
}

static uint32_t some_records(mcore__dns_record *out) {
    static const uint16_t types[] = {MCORE__DNS_A, MCORE__DNS_AAAA, MCORE__DNS_SRV};
    static uint8_t bits[MCORE__DNS_TYPES_BYTES_MAX];
    uint32_t n = 0;
    out[n] = record_of("_http._tcp.local", MCORE__DNS_PTR, MCORE__DNS_ANSWER);
    out[n++].target = name_of("My\\.Web 1._http._tcp.local");
    out[n] = record_of("My\\.Web 1._http._tcp.local", MCORE__DNS_SRV, MCORE__DNS_ANSWER);
    out[n].cache_flush = 1;
    out[n].priority = 1;
    out[n].weight = 20;
    out[n].port = 8080;
    out[n++].target = name_of("box.local");
    out[n] = record_of("My\\.Web 1._http._tcp.local", MCORE__DNS_TXT, MCORE__DNS_ANSWER);
    out[n++].data = BYTES("\3a=b\0\1x");
    out[n] = record_of("box.local", MCORE__DNS_SOA, MCORE__DNS_AUTHORITY);
    out[n].minimum_s = 77;
    out[n++].target = name_of("ns.local");
    out[n] = record_of("box.local", MCORE__DNS_A, MCORE__DNS_ADDITIONAL);
    memcpy(out[n++].address, "\x7f\0\0\1", 4);
    out[n] = record_of("BOX.local", MCORE__DNS_AAAA, MCORE__DNS_ADDITIONAL);
    out[n++].address[15] = 1;
    out[n] = record_of("box.local", MCORE__DNS_NSEC, MCORE__DNS_ADDITIONAL);
    out[n].target = name_of("box.local");
    out[n++].data = (mcore_slice){bits, mcore__dns_types_write(types, 3, bits)};
    out[n] = record_of(".", MCORE__DNS_OPT, MCORE__DNS_ADDITIONAL);
    out[n].class_code = 0x8f00;
    out[n].ttl_s = 0xff000000;
    out[n++].data = BYTES("\0\3\0\1x");
    return n;
}

TEST(what_is_written_is_read) {
    for (uint8_t multicast = 0; multicast < 2; multicast++) {
        mcore__dns_record records[16], record;
        uint32_t count = some_records(records);
        uint8_t bytes[1024];
        mcore__dns_writer writer;
        mcore__dns_header header = {.id = 7, .response = 1, .authoritative = 1, .rcode = 3};
        mcore__dns_question question = {name_of("_http._tcp.local"), MCORE__DNS_PTR, MCORE__DNS_IN,
                                        1};
        CHECK_INT(mcore__dns_write_begin(&writer, bytes, sizeof bytes, &header), MCORE_OK);
        writer.multicast = multicast;
        CHECK_INT(mcore__dns_write_question(&writer, &question), MCORE_OK);
        for (uint32_t i = 0; i < count; i++)
            CHECK_INT(mcore__dns_write_record(&writer, &records[i]), MCORE_OK);
        CHECK(!writer.full);
        uint32_t len = mcore__dns_write_end(&writer, 1);

        mcore__dns_reader reader;
        mcore__dns_header header_read;
        mcore__dns_question question_read;
        CHECK_INT(mcore__dns_read_begin(&reader, (mcore_slice){bytes, len}, &header_read), 0);
        header.truncated = 1;
        CHECK(memcmp(&header_read, &header, sizeof header) == 0);
        CHECK_INT(mcore__dns_read_question(&reader, &question_read), MCORE_OK);
        CHECK(mcore__dns_name_identical(&question_read.name, &question.name));
        CHECK_INT(question_read.class_code, MCORE__DNS_IN);
        CHECK_INT(question_read.unicast_response, 1);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_OK);
            check_same(&record, &records[i]);
        }
        CHECK_INT(reader.at, len);
        CHECK_INT(mcore__dns_read_record(&reader, &record), MCORE_ENOENT);
    }
}

TEST(suffixes_are_written_once) {
    mcore__dns_record records[16];
    some_records(records);
    uint8_t bytes[512];
    mcore__dns_writer writer;
    CHECK_INT(mcore__dns_write_begin(&writer, bytes, sizeof bytes, &(mcore__dns_header){0}), 0);
    writer.multicast = 1;
    CHECK_INT(mcore__dns_write_record(&writer, &records[0]), MCORE_OK);
    /* The name, ten bytes of head, a label and a pointer. */
    CHECK_INT(writer.len, 12 + 18 + 10 + 9 + 2);
    CHECK_INT(mcore__dns_write_record(&writer, &records[1]), MCORE_OK);
    CHECK_INT(writer.len, 51 + 2 + 10 + 6 + 4 + 2);
    CHECK_INT(mcore__dns_write_record(&writer, &records[4]), MCORE_OK);
    CHECK_INT(writer.len, 75 + 2 + 10 + 4);
    /* Other letters are another name: they are to stay as they are. */
    CHECK_INT(mcore__dns_write_record(&writer, &records[5]), MCORE_OK);
    CHECK_INT(writer.len, 91 + 4 + 2 + 10 + 16);
    /* And without multicast, a target is never a pointer. */
    CHECK_INT(mcore__dns_write_begin(&writer, bytes, sizeof bytes, &(mcore__dns_header){0}), 0);
    CHECK_INT(mcore__dns_write_record(&writer, &records[1]), MCORE_OK);
    CHECK_INT(mcore__dns_write_record(&writer, &records[1]), MCORE_OK);
    CHECK_INT(writer.len, 12 + 27 + 10 + 6 + 11 + 2 + 10 + 6 + 11);
}

TEST(what_does_not_fit_is_taken_back) {
    mcore__dns_record records[16];
    uint32_t count = some_records(records);
    for (size_t limit = 12; limit < 400; limit++) {
        uint8_t *bytes = malloc(limit);
        mcore__dns_writer writer;
        uint32_t written = 0;
        CHECK_INT(mcore__dns_write_begin(&writer, bytes, limit, &(mcore__dns_header){0}), 0);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t before = writer.len;
            mcore_status status = mcore__dns_write_record(&writer, &records[i]);
            written += status == MCORE_OK;
            if (status == MCORE_OK) continue;
            CHECK_INT(status, MCORE_ELIMIT);
            CHECK_INT(writer.len, before);
        }
        CHECK_INT(writer.full, written < count);
        uint32_t len = mcore__dns_write_end(&writer, writer.full);
        CHECK_INT(read_all((mcore_slice){bytes, len}), written);
        free(bytes);
    }
    uint8_t small[11];
    mcore__dns_writer writer;
    CHECK_INT(mcore__dns_write_begin(&writer, small, 11, &(mcore__dns_header){0}), MCORE_ELIMIT);
}

TEST(wrong_order_and_wrong_data_are_refused) {
    uint8_t bytes[512];
    mcore__dns_writer writer;
    CHECK_INT(mcore__dns_write_begin(&writer, bytes, sizeof bytes, &(mcore__dns_header){0}), 0);
    mcore__dns_record text = record_of("a", MCORE__DNS_TXT, MCORE__DNS_ADDITIONAL);
    CHECK_INT(mcore__dns_write_record(&writer, &text), MCORE_EINVAL); /* not even one string */
    text.data = BYTES("\5abc");
    CHECK_INT(mcore__dns_write_record(&writer, &text), MCORE_EINVAL);
    text.data = BYTES("\0");
    CHECK_INT(mcore__dns_write_record(&writer, &text), MCORE_OK);
    mcore__dns_record early = record_of("a", MCORE__DNS_A, MCORE__DNS_ANSWER);
    CHECK_INT(mcore__dns_write_record(&writer, &early), MCORE_EINVAL);
    early.section = 3;
    CHECK_INT(mcore__dns_write_record(&writer, &early), MCORE_EINVAL);
    mcore__dns_question question = {name_of("a"), MCORE__DNS_A, MCORE__DNS_IN, 0};
    CHECK_INT(mcore__dns_write_question(&writer, &question), MCORE_EINVAL);
    CHECK(!writer.full);
    CHECK_INT(read_all((mcore_slice){bytes, mcore__dns_write_end(&writer, 0)}), 1);
}

TEST(a_long_message_has_names_that_nothing_points_at) {
    enum { LIMIT = 65535 };
    uint8_t *bytes = malloc(LIMIT);
    mcore__dns_writer writer;
    int count = 0;
    CHECK_INT(mcore__dns_write_begin(&writer, bytes, LIMIT, &(mcore__dns_header){0}), 0);
    for (;; count++) {
        char name[64];
        snprintf(name, sizeof name, "host-%d.of.a.long.zone.example", count % 3000);
        mcore__dns_record record = record_of(name, MCORE__DNS_CNAME, MCORE__DNS_ANSWER);
        record.target = name_of("elsewhere.example");
        mcore_status status = mcore__dns_write_record(&writer, &record);
        if (status == MCORE_ELIMIT) break;
        CHECK_INT(status, MCORE_OK);
    }
    CHECK(count > 1500);
    CHECK_INT(read_all((mcore_slice){bytes, mcore__dns_write_end(&writer, 0)}), count);
    free(bytes);
}

/* ---- Data ---- */

TEST(strings_of_a_text_record) {
    uint8_t data[8];
    size_t len = 0;
    CHECK_INT(mcore__dns_append_string(data, &len, sizeof data, BYTES("ab")), MCORE_OK);
    CHECK_INT(mcore__dns_append_string(data, &len, sizeof data, BYTES("")), MCORE_OK);
    CHECK_INT(mcore__dns_append_string(data, &len, sizeof data, BYTES("abcd")), MCORE_ELIMIT);
    CHECK_INT(mcore__dns_append_string(data, &len, sizeof data, BYTES("xyz")), MCORE_OK);
    CHECK_INT(len, 8);
    char many[256] = {0};
    CHECK_INT(mcore__dns_append_string(data, &len, sizeof data, (mcore_slice){many, 256}),
              MCORE_EINVAL);
    mcore_slice rest = {data, len}, string;
    CHECK(mcore__dns_next_string(&rest, &string));
    CHECK_SLICE(string, "ab");
    CHECK(mcore__dns_next_string(&rest, &string));
    CHECK_SLICE(string, "");
    CHECK(mcore__dns_next_string(&rest, &string));
    CHECK_SLICE(string, "xyz");
    CHECK(!mcore__dns_next_string(&rest, &string));
}

TEST(types_of_a_denial) {
    static const uint16_t types[] = {MCORE__DNS_A, MCORE__DNS_AAAA, MCORE__DNS_SRV, 300};
    uint8_t bits[MCORE__DNS_TYPES_BYTES_MAX];
    size_t len = mcore__dns_types_write(types, 4, bits);
    mcore_slice data = {bits, len};
    CHECK_INT(len, 2 + 5);
    CHECK(memcmp(bits, "\0\5\x40\0\0\x08\x40", 7) == 0);
    CHECK(mcore__dns_types_have(data, MCORE__DNS_SRV));
    CHECK(!mcore__dns_types_have(data, MCORE__DNS_TXT));
    CHECK(!mcore__dns_types_have(data, 255));
    CHECK(!mcore__dns_types_have(data, 300));
    CHECK_INT(mcore__dns_types_write(types, 0, bits), 0);
    CHECK(!mcore__dns_types_have((mcore_slice){"\0\5\x40", 3}, MCORE__DNS_A)); /* cut */
    CHECK(mcore__dns_types_have((mcore_slice){"\0\1\x40\1\1\x40", 6}, 257));
}

TEST(records_have_an_order) {
    mcore__dns_record a = record_of("a", MCORE__DNS_A, 0), b = a;
    CHECK_INT(mcore__dns_record_compare(&a, &b), 0);
    memcpy(a.address, "\xa9\xfe\x63\xc8", 4); /* the example of RFC 6762 8.2 */
    memcpy(b.address, "\xa9\xfe\xc8\x32", 4);
    CHECK(mcore__dns_record_compare(&a, &b) < 0);
    CHECK(mcore__dns_record_compare(&b, &a) > 0);
    b = record_of("a", MCORE__DNS_AAAA, 0);
    CHECK(mcore__dns_record_compare(&a, &b) < 0);
    a = record_of("a", MCORE__DNS_TXT, 0);
    b = a;
    a.data = BYTES("\1a");
    b.data = BYTES("\1a\0");
    CHECK(mcore__dns_record_compare(&a, &b) < 0);
    a = record_of("a", MCORE__DNS_SRV, 0);
    b = a;
    a.target = name_of("a.b");
    b.target = name_of("a.c");
    CHECK(mcore__dns_record_compare(&a, &b) < 0);
    b.priority = a.priority + 1;
    CHECK(mcore__dns_record_compare(&b, &a) > 0);
}

/* ---- Anything ---- */

static uint64_t random_state = 1;
static uint32_t random_below(uint32_t bound) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % bound;
}

TEST(no_bytes_break_it) {
    mcore__dns_record records[16];
    uint32_t count = some_records(records), refused = 0;
    uint8_t good[1024];
    mcore__dns_writer writer;
    CHECK_INT(mcore__dns_write_begin(&writer, good, sizeof good, &(mcore__dns_header){0}), 0);
    for (uint32_t i = 0; i < count; i++)
        CHECK_INT(mcore__dns_write_record(&writer, &records[i]), MCORE_OK);
    uint32_t len = mcore__dns_write_end(&writer, 0);
    for (int round = 0; round < 200000; round++) {
        uint32_t cut = random_below(4) ? len : random_below(len + 1);
        uint8_t *bytes = malloc(cut + !cut);
        memcpy(bytes, good, cut);
        for (uint32_t i = random_below(6); i > 0 && cut > 0; i--) {
            static const uint8_t favourites[] = {0, 1, 0x3f, 0x40, 0xc0, 0xff};
            uint32_t at = random_below(cut);
            bytes[at] =
                (uint8_t)(random_below(2) ? favourites[random_below(6)] : random_below(256));
        }
        mcore__dns_reader reader;
        mcore__dns_header header;
        mcore__dns_record record;
        mcore_status status = mcore__dns_read_begin(&reader, (mcore_slice){bytes, cut}, &header);
        uint8_t again[1024];
        if (status == MCORE_OK)
            status = mcore__dns_write_begin(&writer, again, sizeof again, &header);
        while (status == MCORE_OK) {
            status = mcore__dns_read_record(&reader, &record);
            if (status != MCORE_OK) break;
            CHECK(record.name.len >= 1);
            char text[MCORE__DNS_NAME_TEXT_BYTES];
            mcore__dns_name back;
            size_t text_len = mcore__dns_name_format(&record.name, text);
            CHECK_INT(mcore__dns_name_parse((mcore_slice){text, text_len}, &back), MCORE_OK);
            CHECK(mcore__dns_name_identical(&record.name, &back));
            CHECK_INT(mcore__dns_record_compare(&record, &record), 0);
            mcore__dns_types_have(record.data, 255);
            mcore_status written = mcore__dns_write_record(&writer, &record);
            CHECK(written == MCORE_OK || written == MCORE_ELIMIT ||
                  (written == MCORE_EINVAL && record.data.len == 0));
        }
        refused += status == MCORE_EPROTO;
        free(bytes);
    }
    CHECK(refused > 50000);
    CHECK(refused < 190000);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
