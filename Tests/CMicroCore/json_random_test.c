#include "json_rig.h"

/* ---- Chance ---- */

static uint64_t chance_state;

static uint32_t chance(uint32_t below) {
    chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((chance_state >> 33) % below);
}

static const char *one_of(const char *const *texts, uint32_t count) { return texts[chance(count)]; }
#define ONE_OF(texts) one_of(texts, sizeof texts / sizeof *texts)

/* ---- Messages that changed on their way ---- */

/* What JSON is made of, and what it is not. */
static const char *const pieces[] = {"{",
                                     "}",
                                     "[",
                                     "]",
                                     ":",
                                     ",",
                                     "\"",
                                     "\\",
                                     "\\\"",
                                     "\\\\",
                                     "\\u",
                                     "\\ud8",
                                     "\\udc",
                                     "\\ud83d",
                                     "\\ude00",
                                     "0",
                                     "1",
                                     "-",
                                     ".",
                                     "e",
                                     "E+",
                                     "12345678",
                                     "true",
                                     "false",
                                     "null",
                                     " ",
                                     "\n",
                                     "\t",
                                     "\x01",
                                     "\x1F",
                                     "\x7F",
                                     "\x80",
                                     "\xBF",
                                     "\xC3",
                                     "\xC3\xA9",
                                     "\xE0\x80",
                                     "\xED\xA0\x80",
                                     "\xE2\x82\xAC",
                                     "\xF0\x9F\x98\x80",
                                     "\xF4\x90",
                                     "\xFF",
                                     "\f",
                                     "\x1A",
                                     "/"};

enum { MUTANT_MAX = 700 };

static size_t put(uint8_t *bytes, size_t len, size_t at, size_t drop, const char *piece) {
    size_t added = strlen(piece);
    if (at + drop > len) drop = len - at;
    if (len - drop + added > MUTANT_MAX) return len;
    memmove(bytes + at + added, bytes + at + drop, len - at - drop);
    memcpy(bytes + at, piece, added);
    return len - drop + added;
}

static size_t change(uint8_t *bytes, size_t len) {
    size_t at = chance((uint32_t)len + 1);
    switch (chance(6)) {
    case 0:
        return put(bytes, len, at, 0, ONE_OF(pieces));
    case 1:
        return put(bytes, len, at, 1, ONE_OF(pieces));
    case 2:
        return put(bytes, len, at, 1 + chance(8), "");
    case 3:
        if (at < len) bytes[at] ^= (uint8_t)(1 << chance(8));
        return len;
    case 4:
        return at; /* cut off */
    default: {     /* a part of it again */
        char part[20];
        size_t part_len = chance(sizeof part - 1);
        if (at + part_len > len || memchr(bytes + at, 0, part_len)) return len;
        memcpy(part, bytes + at, part_len);
        part[part_len] = 0;
        return put(bytes, len, chance((uint32_t)len + 1), 0, part);
    }
    }
}

TEST(all_readers_agree_on_changed_messages) {
    enum { ROUNDS = 300000 };
    static uint8_t bytes[MUTANT_MAX];
    size_t good = 0;
    chance_state = 1;
    read_cases();
    for (int round = 0; round < ROUNDS; round++) {
        const json_case *c = &json_cases[chance((uint32_t)json_case_count)];
        if (c->len > 600 || (!c->is_json && chance(2))) continue;
        size_t before = chance(2) ? 0 : chance(80), len = before + c->len;
        memset(bytes, ' ', before);
        memcpy(bytes + before, c->bytes, c->len);
        for (uint32_t changes = chance(3) + 1; changes; changes--) len = change(bytes, len);
        good += judge((mcore_slice){bytes, len}) == MCORE_OK;
    }
    CHECK(good > ROUNDS / 50);
}

TEST(all_readers_agree_on_chance) {
    uint8_t bytes[300];
    chance_state = 2;
    for (int round = 0; round < 100000; round++) {
        size_t len = 0, wanted = chance(30);
        if (chance(2)) bytes[len++] = chance(2) ? '[' : '"';
        for (size_t i = 0; i < wanted; i++) {
            const char *piece = ONE_OF(pieces);
            memcpy(bytes + len, piece, strlen(piece));
            len += strlen(piece);
        }
        if (chance(2)) bytes[len++] = *bytes == '[' ? ']' : '"';
        judge((mcore_slice){bytes, len});
    }
}

/* ---- Something at each place of a string ---- */

TEST(strings_are_checked_at_each_place) {
    static const struct {
        const char *piece;
        mcore_status status;
    } cases[] = {{"\\n", MCORE_OK},
                 {"\\u00e9", MCORE_OK},
                 {"\\ud83d\\ude00", MCORE_OK},
                 {"\xC3\xA9", MCORE_OK},
                 {"\xE2\x82\xAC", MCORE_OK},
                 {"\xF0\x9F\x98\x80", MCORE_OK},
                 {"\x1F", MCORE_EPROTO},
                 {"\\", MCORE_EPROTO},
                 {"\\x", MCORE_EPROTO},
                 {"\\ud83d", MCORE_EPROTO},
                 {"\"", MCORE_EPROTO},
                 {"\x80", MCORE_EPROTO},
                 {"\xC3", MCORE_EPROTO},
                 {"\xE2\x82", MCORE_EPROTO},
                 {"\xED\xA0\x80", MCORE_EPROTO},
                 {"\xF0\x9F\x98", MCORE_EPROTO}};
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t piece_len = strlen(cases[i].piece);
        for (size_t len = 0; len <= 200; len++) {
            for (size_t at = 0; at <= len; at += len < 70 ? 1 : 1 + at % 7) {
                memset(bytes, 'x', sizeof bytes);
                bytes[0] = '"';
                memcpy(bytes + 1 + at, cases[i].piece, piece_len);
                bytes[1 + len + piece_len] = '"';
                mcore_status status = judge((mcore_slice){bytes, len + piece_len + 2});
                int is_end = strcmp(cases[i].piece, "\\") == 0 && at == len;
                CHECK_INT(status, is_end ? MCORE_EPROTO : cases[i].status);
            }
        }
    }
}

/* ---- UTF-8 ---- */

static void check_sequence(const uint8_t sequence[4], size_t at) {
    uint8_t bytes[120];
    memset(bytes, 'x', sizeof bytes);
    bytes[0] = bytes[sizeof bytes - 1] = '"';
    memcpy(bytes + at, sequence, 4);
    mcore_slice slice = {bytes, sizeof bytes};
    mcore_fault fault;
    mcore_status expected = mcore__json_fault(slice, 64, &fault);
    for (int plain = 0; plain < 2; plain++)
        CHECK_INT(mcore__json_validate(slice, 64, NULL, indexer_of(plain)), expected);
}

TEST(all_readers_know_the_same_characters) {
    static const uint8_t edges[] = {0x22, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                    0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE,
                                    0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    enum { EDGES = sizeof edges };
    static const uint8_t places[] = {5, 29, 30, 31, 61, 62, 63, 64};
    size_t round = 0;
    for (size_t a = 0; a < EDGES; a++)
        for (size_t b = 0; b < EDGES; b++)
            for (size_t c = 0; c < EDGES; c++)
                for (size_t d = 0; d < EDGES; d += 1 + round % 2, round++) {
                    uint8_t sequence[4] = {edges[a], edges[b], edges[c], edges[d]};
                    check_sequence(sequence, places[round % sizeof places]);
                }
}

/* ---- The index ---- */

/* The places that matter, found one by one. */
static size_t find_places(const uint8_t *bytes, size_t len, uint8_t *out_matters) {
    int in_string = 0, is_escaped = 0, is_scalar = 0;
    size_t count = 0;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes[i];
        int is_quote = c == '"' && !is_escaped, is_mark = c && strchr("{}[]:,", c) != NULL;
        int is_blank = c && strchr(" \t\r\n", c) != NULL;
        int begins_escape = c == '\\' && !is_escaped;
        int begins_scalar = !is_mark && !is_blank && !is_scalar;
        int matters = is_quote || (in_string ? begins_escape : is_mark || begins_scalar);
        if (matters) count++;
        out_matters[i] = (uint8_t)matters;
        is_escaped = begins_escape;
        is_scalar = !is_mark && !is_blank && !is_quote;
        in_string ^= is_quote;
    }
    return count;
}

static void check_index(mcore_slice bytes, const uint8_t *matters, size_t count, int plain) {
    static mcore__json_index index;
    const uint8_t *data = bytes.data;
    size_t found = 0;
    mcore__json_index_begin(&index, bytes, indexer_of(plain));
    while (index.indexer(&index)) {
        size_t last = 0;
        for (const mcore__json_cursor *c = &index.cursor; index.cursor.at < c->end;
             index.cursor.at++) {
            size_t at = (size_t)(c->base - data) + *c->at;
            CHECK(at < bytes.len && matters[at] && (!found || at > last));
            last = at;
            found++;
        }
    }
    CHECK(!index.is_bad);
    CHECK(index.next == index.end);
    CHECK_INT(found, count);
}

TEST(indexes_have_all_places) {
    static const char alphabet[] = "\\\\\\\\\\\\\"\"\"\"{}[]:, \t\r\nax10-";
    static uint8_t bytes[3 * MCORE__JSON_BATCH], matters[sizeof bytes];
    chance_state = 3;
    for (int round = 0; round < 3000; round++) {
        size_t len = chance(round % 10 ? 200 : sizeof bytes);
        uint32_t first = chance(sizeof alphabet - 1), letters = sizeof alphabet - 1 - first;
        if (round % 3) first = 0, letters = 1 + chance(sizeof alphabet - 1);
        for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)alphabet[first + chance(letters)];
        /* No control characters in strings, which are faults. */
        for (size_t i = 0; i < len; i++)
            if (bytes[i] < ' ' && round % 2) bytes[i] = ' ';
        size_t count = find_places(bytes, len, matters);
        mcore_slice copy = exact_copy((mcore_slice){bytes, len});
        int has_control = 0;
        for (size_t i = 0; i < len; i++) has_control |= bytes[i] < ' ';
        for (int plain = 0; plain < 2 && !has_control; plain++)
            check_index(copy, matters, count, plain);
        free_bytes(copy);
    }
}

TEST(indexes_know_what_is_bad) {
    static const char *const bad[] = {"\xC3", "\xE2\x82", "\xF0\x9F\x98", "\xFF", "\x80", "\x01"};
    static mcore__json_index index;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t before = 0; before < 200; before++) {
            uint8_t bytes[220] = "\"";
            size_t len = 1 + before + strlen(bad[i]);
            memset(bytes + 1, 'x', before);
            memcpy(bytes + 1 + before, bad[i], strlen(bad[i]));
            mcore_slice copy = exact_copy((mcore_slice){bytes, len});
            for (int plain = 0; plain < 2; plain++) {
                mcore__json_index_begin(&index, copy, indexer_of(plain));
                CHECK(!index.indexer(&index));
                CHECK(index.is_bad);
            }
            free_bytes(copy);
        }
    }
}

/* ---- Messages made by chance, with what is in them ---- */

typedef struct writer {
    char *json, *shown;
    size_t json_len, shown_len, room;
} writer;

static void add(writer *w, const char *json, const char *shown) {
    CHECK(w->json_len + strlen(json) < w->room && w->shown_len + strlen(shown) < w->room);
    w->json_len += (size_t)sprintf(w->json + w->json_len, "%s", json);
    w->shown_len += (size_t)sprintf(w->shown + w->shown_len, "%s", shown);
}

static void add_blanks(writer *w) {
    static const char *const blanks[] = {"", "", "", "", " ", "  ", "\n", "\t", "\r\n      "};
    add(w, ONE_OF(blanks), "");
}

static void add_text(writer *w) {
    static const struct {
        const char *json, *shown;
    } parts[] = {{"a", "a"},
                 {"some words", "some words"},
                 {"\xC3\xA9", "\xC3\xA9"},
                 {"\\n", "\n"},
                 {"\\\\", "\\"},
                 {"\\\"", "\""},
                 {"\\/", "/"},
                 {"\\u20ac", "\xE2\x82\xAC"},
                 {"\\ud83d\\ude00", "\xF0\x9F\x98\x80"},
                 {"{[,:]}", "{[,:]}"}};
    add(w, "\"", "'");
    for (uint32_t n = chance(chance(10) ? 4 : 40); n; n--) {
        size_t part = chance(chance(2) ? 2 : sizeof parts / sizeof *parts);
        add(w, parts[part].json, parts[part].shown);
    }
    add(w, "\"", "' ");
}

static void add_number(writer *w) {
    char json[64], shown[80];
    uint64_t value = (uint64_t)chance(UINT32_MAX) << 32 | chance(UINT32_MAX);
    value >>= chance(64);
    switch (chance(4)) {
    case 0:
        snprintf(json, sizeof json, "-%" PRIu64, value);
        snprintf(shown, sizeof shown, "%s%s ", value && value <= UINT64_C(1) << 63 ? "" : "#",
                 json);
        break;
    case 1:
        snprintf(json, sizeof json, "%" PRIu64 ".%u", value, chance(1000));
        snprintf(shown, sizeof shown, "#%s ", json);
        break;
    default:
        snprintf(json, sizeof json, "%" PRIu64, value);
        snprintf(shown, sizeof shown, "%s ", json);
    }
    add(w, json, shown);
}

static void add_scalar(writer *w) {
    switch (chance(6)) {
    case 0:
        add(w, "true", "true ");
        break;
    case 1:
        add(w, "false", "false ");
        break;
    case 2:
        add(w, "null", "null ");
        break;
    case 3:
        add_number(w);
        break;
    default:
        add_text(w);
    }
}

static void add_value(writer *w, int depth) {
    add_blanks(w);
    uint32_t count = depth ? chance(chance(8) ? 4 : 30) : 0;
    char shown[20];
    switch (depth ? chance(3) : 2) {
    case 0:
        snprintf(shown, sizeof shown, "A%u ", count);
        add(w, "[", shown);
        for (uint32_t i = 0; i < count; i++) {
            if (i) add(w, ",", "");
            add_value(w, depth - 1);
        }
        if (!count) add_blanks(w);
        add(w, "]", "");
        break;
    case 1:
        snprintf(shown, sizeof shown, "M%u ", count);
        add(w, "{", shown);
        for (uint32_t i = 0; i < count; i++) {
            char key[40];
            add_blanks(w);
            snprintf(key, sizeof key, "key %u of a map", i);
            char json_key[50], shown_key[50];
            snprintf(json_key, sizeof json_key, "\"%s%s\"", i % 7 ? "" : "\\t", key);
            snprintf(shown_key, sizeof shown_key, "'%s%s' ", i % 7 ? "" : "\t", key);
            if (i) add(w, ",", "");
            add_blanks(w);
            add(w, json_key, shown_key);
            add_blanks(w);
            add(w, ":", "");
            add_value(w, depth - 1);
        }
        if (!count) add_blanks(w);
        add(w, "}", "");
        break;
    default:
        add_scalar(w);
    }
    add_blanks(w);
}

/* Compares the values with what is expected, as a text. */
static void check_values(mcore_document *document, const char *shown) {
    const mcore_value *values = mcore_document_values(document);
    for (uint32_t i = 0; i < document->count; i++) {
        const mcore_value *v = &values[i];
        char text[40];
        int len = 0;
        switch (v->kind) {
        case MCORE_VALUE_NULL:
            len = sprintf(text, "null ");
            break;
        case MCORE_VALUE_BOOLEAN:
            len = sprintf(text, v->as.integer ? "true " : "false ");
            break;
        case MCORE_VALUE_INTEGER:
            len = sprintf(text, "%" PRId64 " ", v->as.integer);
            break;
        case MCORE_VALUE_NATURAL:
            len = sprintf(text, "%" PRIu64 " ", v->as.natural);
            break;
        case MCORE_VALUE_ARRAY:
            len = sprintf(text, "A%u ", v->len);
            break;
        case MCORE_VALUE_MAP:
            len = sprintf(text, "M%u ", v->len);
            break;
        default: {
            int is_text = v->kind == MCORE_VALUE_TEXT;
            CHECK(*shown++ == (is_text ? '\'' : '#'));
            CHECK(memcmp(shown, v->as.text, v->len) == 0);
            shown += v->len;
            len = sprintf(text, "%s ", is_text ? "'" : "");
        }
        }
        CHECK(memcmp(shown, text, (size_t)len) == 0);
        shown += len;
    }
    CHECK(!*shown);
}

TEST(messages_made_by_chance_are_read_as_they_were_made) {
    enum { ROOM = 2000000 };
    writer w = {.json = malloc(ROOM), .shown = malloc(ROOM), .room = ROOM};
    size_t longest = 0;
    chance_state = 4;
    for (int round = 0; round < 2000; round++) {
        w.json_len = w.shown_len = 0;
        if (round % 100) {
            add_value(&w, 3);
        } else {
            add(&w, "[", "A300 ");
            for (int i = 0; i < 300; i++) {
                if (i) add(&w, ",", "");
                add_value(&w, 3);
            }
            add(&w, "]", "");
        }
        CHECK_INT(judge((mcore_slice){w.json, w.json_len}), MCORE_OK);
        for (int plain = 0; plain < 2; plain++) check_values(rig_documents[plain], w.shown);
        if (w.json_len > longest) longest = w.json_len;
    }
    CHECK(longest > 10 * MCORE__JSON_BATCH);
    free(w.json);
    free(w.shown);
}

int main(int argc, char **argv) {
    int status = test_main(argc, argv);
    rig_end();
    free_cases();
    return status;
}
