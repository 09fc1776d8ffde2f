/* Which codings there are, which of them two sides have in common, and how others are added. */
#include "test.h"

#include "frame/coder.h"
#include "toy_coding.h"

static mcore_slice text(const char *s) { return (mcore_slice){s, strlen(s)}; }

TEST(codings_have_names) {
    CHECK_INT(mcore__coding_of(text("")), MCORE__CODING_IDENTITY);
    CHECK_INT(mcore__coding_of(text("identity")), MCORE__CODING_IDENTITY);
    CHECK_INT(mcore__coding_of(text("gzip")), MCORE__CODING_GZIP);
    CHECK_INT(mcore__coding_of(text("GZip")), MCORE__CODING_GZIP);
    CHECK_INT(mcore__coding_of(text("x-gzip")), MCORE__CODING_GZIP);
    CHECK_INT(mcore__coding_of(text("deflate")), MCORE__CODING_DEFLATE);
    static const char *const unknown[] = {"br", "gzi", "gzipp", "zstd", "turn", "gzip,gzip", " "};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK_INT(mcore__coding_of(text(unknown[i])), MCORE__CODING_UNKNOWN);
    CHECK_SLICE(mcore__coding_name(MCORE__CODING_IDENTITY), "identity");
    CHECK_SLICE(mcore__coding_name(MCORE__CODING_GZIP), "gzip");
    CHECK_SLICE(mcore__coding_name(MCORE__CODING_DEFLATE), "deflate");
    CHECK(!mcore__coding_table(MCORE__CODING_UNKNOWN));
    CHECK(!mcore__coding_table(MCORE__CODING_IDENTITY));
    CHECK(!mcore__coding_table(1000));
}

TEST(flags_name_codings) {
    CHECK_INT(mcore_coding_flags(text("gzip")), 0x201);
    CHECK_INT(mcore_coding_flags(text("deflate")), 0x301);
    CHECK_INT(mcore_coding_flags(text("identity")), 0);
    CHECK_INT(mcore_coding_flags(text("")), 0);
    CHECK_INT(mcore_coding_flags(text("br")), 0);
    CHECK_INT(mcore__coding_of_flags(MCORE_MESSAGE_COMPRESSED), MCORE__CODING_GZIP);
    CHECK_INT(mcore__coding_of_flags(0x301), MCORE__CODING_DEFLATE);
    CHECK_INT(mcore__coding_of_flags(0x70000201), MCORE__CODING_GZIP);
    CHECK_INT(mcore__coding_of_flags(0xff01), MCORE__CODING_UNKNOWN);
    CHECK_INT(mcore__coding_of_flags(0x0101), MCORE__CODING_UNKNOWN);
}

typedef struct choice {
    const char *accept;
    mcore__coding gzip, deflate; /* what is chosen when that is preferred */
} choice;

enum { NONE = MCORE__CODING_IDENTITY, GZIP = MCORE__CODING_GZIP, DEFLATE = MCORE__CODING_DEFLATE };

static const choice choices[] = {
    {"gzip", GZIP, GZIP},
    {"deflate", DEFLATE, DEFLATE},
    {"identity,deflate,gzip", GZIP, DEFLATE},
    {"gzip, deflate, br", GZIP, DEFLATE},
    {"GZIP ;q=0.001", GZIP, GZIP},
    {"x-gzip", GZIP, GZIP},
    {",, gzip", GZIP, GZIP},
    {"gzip;a=b", GZIP, GZIP},
    {"gzip; q=1.000", GZIP, GZIP},
    {"gzip;Q=1", GZIP, GZIP},
    {"gzip;q = 1", NONE, NONE},
    /* The best wins, whatever is preferred here. */
    {"gzip;q=0.5, deflate;q=0.8", DEFLATE, DEFLATE},
    {"deflate;q=0.799,gzip;q=0.8", GZIP, GZIP},
    {"gzip;q=0.5, deflate;q=0.5", GZIP, DEFLATE},
    {"gzip;q=0.5, identity", NONE, NONE},
    {"gzip;q=0.5, identity;q=0.5", GZIP, GZIP},
    /* A star is what is not named. */
    {"*", GZIP, DEFLATE},
    {"*;q=0.1, gzip;q=0", DEFLATE, DEFLATE},
    {"gzip;q=0.2, *;q=0.1", GZIP, GZIP},
    {"*;q=0", NONE, NONE},
    {"*;q=0, gzip", GZIP, GZIP},
    {"identity;q=0, *", GZIP, DEFLATE},
    {"identity, *;q=0.5", NONE, NONE},
    /* Nothing that is known. */
    {"", NONE, NONE},
    {"identity", NONE, NONE},
    {"gzip;q=0", NONE, NONE},
    {"gzip ; q=0.000", NONE, NONE},
    {"gzip;q=0.", NONE, NONE},
    {"gzip;q=0, x-gzip", NONE, NONE}, /* the same one twice: the first counts */
    {"gzipped", NONE, NONE},
    {"a gzip", NONE, NONE},
    {", ,", NONE, NONE},
    {";gzip", NONE, NONE},
    {"deflate;gzip", DEFLATE, DEFLATE},
    {"br;q=1.0, zstd", NONE, NONE},
    /* What is no weight is as good as not said. */
    {"gzip;q=", NONE, NONE},
    {"gzip;q=2", NONE, NONE},
    {"gzip;q=1.001", NONE, NONE},
    {"gzip;q=0.1234", NONE, NONE},
    {"gzip;q=-1", NONE, NONE},
    {"gzip;q=.5", NONE, NONE},
    {"gzip;q=0,5", NONE, NONE},
    {"gzip;q=nan, deflate", DEFLATE, DEFLATE},
};

TEST(the_best_of_a_list_is_chosen) {
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const choice *row = &choices[i];
        mcore__coding gzip = mcore__coding_choose(text(row->accept), GZIP);
        mcore__coding deflate = mcore__coding_choose(text(row->accept), DEFLATE);
        if (gzip != row->gzip || deflate != row->deflate) fprintf(stderr, "%s\n", row->accept);
        CHECK_INT(gzip, row->gzip);
        CHECK_INT(deflate, row->deflate);
        CHECK_INT(mcore__coding_choose(text(row->accept), MCORE__CODING_UNKNOWN), row->gzip);
    }
    CHECK_INT(mcore__coding_choose((mcore_slice){NULL, 0}, GZIP), NONE);
    CHECK_INT(mcore__coding_choose((mcore_slice){"gzip\0", 5}, GZIP), NONE);
}

TEST(identity_may_be_forbidden) {
    static const char *const forbidden[] = {"identity;q=0", "gzip, identity; q=0.0", "*;q=0",
                                            "*;q=0, gzip", "identity;q=0, *"};
    static const char *const allowed[] = {
        "",        "gzip",         "gzip;q=0", "*", "identity, *;q=0", "identity;q=0.5",
        "*;q=0.1", "identity;q=00"};
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        CHECK(mcore__coding_is_demanded(text(forbidden[i])));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        CHECK(!mcore__coding_is_demanded(text(allowed[i])));
    CHECK(!mcore__coding_is_demanded((mcore_slice){NULL, 0}));
}

/* ---- Codings that a program brings; what is registered stays, so this is one test ---- */

static mcore_status register_named(const char *name) {
    mcore_coding *coding = malloc(sizeof *coding);
    *coding = toy_coding;
    coding->name = name;
    mcore_status status = mcore_coding_register(coding);
    if (status) free(coding);
    return status;
}

static void check_bad_tables(void) {
    static const char *const bad[] = {"",  "Turn",       "a b", "a,b",
                                      "*", "tu\xc3\xbc", NULL,  "a-name-of-more-than-31-letters-."};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(register_named(bad[i]), MCORE_EINVAL);
    static const char *const taken[] = {"gzip", "deflate", "identity", "x-gzip"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        CHECK_INT(register_named(taken[i]), MCORE_EEXIST);
    CHECK_INT(mcore_coding_register(NULL), MCORE_EINVAL);
    mcore_coding copy = toy_coding;
    copy.struct_size--;
    CHECK_INT(mcore_coding_register(&copy), MCORE_EINVAL);
    for (size_t at = offsetof(mcore_coding, decoder_create); at < sizeof copy;
         at += sizeof(void *)) {
        copy = toy_coding;
        memset((char *)&copy + at, 0, sizeof(void *));
        CHECK_INT(mcore_coding_register(&copy), MCORE_EINVAL);
    }
}

static void check_round_trip(void) {
    mcore__coder *coder = mcore__coder_create();
    mcore__buffer packed = {0}, plain = {0};
    mcore__coding turn = mcore__coding_of(text("TURN"));
    CHECK_INT(mcore__compress(coder, turn, text("some text"), &packed), MCORE_OK);
    CHECK_INT(mcore__buffer_len(&packed), 11);
    mcore_slice message = {mcore__buffer_bytes(&packed), mcore__buffer_len(&packed)};
    CHECK_INT(mcore__decompress(coder, turn, message, 8, &plain), MCORE_ELIMIT);
    CHECK_INT(mcore__decompress(coder, turn, message, 9, &plain), MCORE_OK);
    CHECK_INT(mcore__buffer_len(&plain), 9);
    message.len--;
    CHECK_INT(mcore__decompress(coder, turn, message, 100, &plain), MCORE_EPROTO);
    CHECK_INT(toy_coders, 2);
    mcore__coder_destroy(coder);
    CHECK_INT(toy_coders, 0);
    mcore__buffer_free(&packed);
    mcore__buffer_free(&plain);
}

TEST(a_program_brings_its_own) {
    CHECK_SLICE(mcore__codings_of_grpc(), "identity,deflate,gzip");
    CHECK_SLICE(mcore__codings_of_http(), "gzip, deflate");
    mcore_slice before = mcore__codings_of_grpc();
    check_bad_tables();
    CHECK_SLICE(mcore__codings_of_http(), "gzip, deflate");
    CHECK_INT(mcore_coding_register(&toy_coding), MCORE_OK);
    CHECK_INT(mcore_coding_register(&toy_coding), MCORE_OK);
    CHECK_INT(register_named("turn"), MCORE_EEXIST);
    CHECK_SLICE(before, "identity,deflate,gzip");
    CHECK_SLICE(mcore__codings_of_grpc(), "identity,deflate,gzip,turn");
    CHECK_SLICE(mcore__codings_of_http(), "gzip, deflate, turn");
    CHECK_INT(mcore_coding_flags(text("turn")), 0x401);
    CHECK_INT(mcore__coding_choose(text("gzip, turn"), GZIP), GZIP);
    CHECK_INT(mcore__coding_choose(text("gzip, turn"), 4), 4);
    CHECK_INT(mcore__coding_choose(text("gzip;q=0.9, turn"), GZIP), 4);
    check_round_trip();
    static const char *const names[] = {
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "a-name-of-31-letters-and-digits"};
    size_t count = sizeof names / sizeof *names;
    for (size_t i = 0; i < count; i++) CHECK_INT(register_named(names[i]), MCORE_OK);
    CHECK_INT(register_named("the-last"), MCORE_OK);
    CHECK_INT(register_named("one-too-many"), MCORE_ELIMIT);
    CHECK_SLICE(mcore__codings_of_http(), "gzip, deflate, turn, a, b, c, d, e, f, g, h, i, j, "
                                          "a-name-of-31-letters-and-digits, the-last");
    CHECK_INT(mcore_coding_flags(text("the-last")), 0x1001);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
