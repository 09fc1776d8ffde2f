#include "test.h"

#include "codec/digits.h"
#include "codec/number.h"
#include "codec/powers_of_ten.h"
#include "mcore/number.h"

#include <math.h>

static mcore_slice text_of(const char *text) { return (mcore_slice){text, strlen(text)}; }

static double real_of(const char *text) {
    double value = NAN;
    mcore_status status = mcore_number_real(text_of(text), &value);
    if (status != MCORE_OK) test_fail(__FILE__, __LINE__, text);
    return value;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double real_of_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits32_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t random_state = 88172645463325252u;

static uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545F4914F6CDD1Du;
}

static unsigned random_below(unsigned end) { return (unsigned)(random_next() >> 33) % end; }

/* What the C library makes of a text, which has to be what we do. */
static void check_as_strtod(const char *text) {
    double expected = strtod(text, NULL), value = NAN;
    mcore_status status = mcore_number_real(text_of(text), &value);
    int same = isinf(expected) ? status == MCORE_ELIMIT
                               : status == MCORE_OK && bits_of(value) == bits_of(expected);
    if (!same) test_fail(__FILE__, __LINE__, text);

    float expected32 = strtof(text, NULL), value32 = NAN;
    status = mcore_number_real32(text_of(text), &value32);
    same = isinf(expected32) ? status == MCORE_ELIMIT
                             : status == MCORE_OK && bits32_of(value32) == bits32_of(expected32);
    if (!same) test_fail(__FILE__, __LINE__, text);
}

/* ---- Texts ---- */

static const char *const no_numbers[] = {"",
                                         "-",
                                         "--1",
                                         "+1",
                                         "01",
                                         "-01",
                                         "00",
                                         "1.",
                                         "-1.",
                                         ".5",
                                         "-.5",
                                         ".",
                                         "1e",
                                         "1e+",
                                         "1e-",
                                         "1E",
                                         "1.e5",
                                         "1.5e",
                                         "1.5e+",
                                         "e5",
                                         "0x1",
                                         "0x",
                                         "NaN",
                                         "nan",
                                         "-NaN",
                                         "inf",
                                         "Infinity",
                                         "1 ",
                                         " 1",
                                         "1,5",
                                         "1.5x",
                                         "1..5",
                                         "1.5.5",
                                         "1e5.5",
                                         "1e5e5",
                                         "1e 5",
                                         "1_000",
                                         "1e++5",
                                         "1-",
                                         "1\n",
                                         "-e1",
                                         "1ee5",
                                         "/",
                                         ":",
                                         "1/",
                                         "1:",
                                         "1.2/",
                                         "1.2:",
                                         "1e/",
                                         "1e1:",
                                         "1f",
                                         "0.1d",
                                         "12345678901234567890x",
                                         "0.12345678:",
                                         "0.1234567890/",
                                         "1.-5"};

TEST(what_is_no_number_is_refused) {
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++) {
        double real = 7;
        float real32 = 7;
        int64_t integer = 7;
        uint64_t natural = 7;
        mcore_slice text = text_of(no_numbers[i]);
        if (mcore_number_real(text, &real) != MCORE_EINVAL ||
            mcore_number_real32(text, &real32) != MCORE_EINVAL ||
            mcore_number_integer(text, &integer) != MCORE_EINVAL ||
            mcore_number_natural(text, &natural) != MCORE_EINVAL) {
            test_fail(__FILE__, __LINE__, no_numbers[i]);
        }
        CHECK(real == 7 && real32 == 7 && integer == 7 && natural == 7);
    }
    double real;
    CHECK_INT(mcore_number_real((mcore_slice){NULL, 0}, &real), MCORE_EINVAL);
    CHECK_INT(mcore_number_real((mcore_slice){"1\0", 2}, &real), MCORE_EINVAL);
    CHECK_INT(mcore_number_real((mcore_slice){"1\xb2", 2}, &real), MCORE_EINVAL);
}

/* A byte that is anything but a digit ends the number, wherever it stands. */
TEST(each_byte_is_looked_at) {
    const char number[] = "1234567890.123456789012345678";
    for (size_t at = 0; at < sizeof number - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[sizeof number];
            memcpy(text, number, sizeof number);
            text[at] = (char)byte;
            int digit = byte >= '0' && byte <= '9';
            int point = byte == '.' && at != 0 && text[10] != '.';
            int valid = at == 10  ? digit || byte == '.' || (byte | 0x20) == 'e'
                        : at == 0 ? (digit && byte != '0') || byte == '-'
                                  : digit || (at > 11 && at < 28 && (byte | 0x20) == 'e');
            double value;
            mcore_status status = mcore_number_real((mcore_slice){text, sizeof number - 1}, &value);
            /* An exponent after all: 1234567890.123e56789012345678 is too large. */
            int large = (byte | 0x20) == 'e' && status == MCORE_ELIMIT;
            if ((status == MCORE_OK || large) != (valid || point)) {
                text[sizeof number - 1] = '\0';
                test_fail(__FILE__, __LINE__, text);
            }
        }
    }
}

/* Nothing is read behind the end: the sanitizer sees it if something is. */
TEST(a_number_ends_where_its_slice_does) {
    const char number[] = "-1234567.1234567890123e-12";
    for (size_t len = 1; len < sizeof number; len++) {
        char *copy = malloc(len);
        CHECK(copy != NULL);
        memcpy(copy, number, len);
        double value;
        mcore_status status = mcore_number_real((mcore_slice){copy, len}, &value);
        char last = number[len - 1];
        free(copy);
        CHECK_INT(status, last >= '0' && last <= '9' ? MCORE_OK : MCORE_EINVAL);
    }
}

/* ---- Reals ---- */

TEST(reals_of_note) {
    static const struct {
        const char *text;
        uint64_t bits;
    } cases[] = {
        {"0", 0},
        {"-0", 0x8000000000000000},
        {"-0.0e5", 0x8000000000000000},
        {"1", 0x3ff0000000000000},
        {"1e0", 0x3ff0000000000000},
        {"1E+0", 0x3ff0000000000000},
        {"1e-0", 0x3ff0000000000000},
        {"1e00000000000000000000000000000000002", 0x4059000000000000},
        {"12.34", 0x4028ae147ae147ae},
        {"0.1", 0x3fb999999999999a},
        {"0.2", 0x3fc999999999999a},
        {"0.30000000000000004", 0x3fd3333333333334},
        {"-0.0000123", 0xbee9cb8320b15070},
        {"9007199254740991", 0x433fffffffffffff},
        {"9007199254740992", 0x4340000000000000},
        {"9007199254740993", 0x4340000000000000},
        {"9007199254740993.0000000000000000000000000001", 0x4340000000000001},
        {"9007199254740994", 0x4340000000000001},
        {"9007199254740995", 0x4340000000000002},
        {"1e22", 0x4480f0cf064dd592},
        {"1e23", 0x44b52d02c7e14af6},
        {"1.7976931348623157e308", 0x7fefffffffffffff},
        {"1.7976931348623158e308", 0x7fefffffffffffff},
        {"1.797693134862315807e308", 0x7fefffffffffffff},
        {"2.2250738585072014e-308", 0x0010000000000000},
        {"2.2250738585072011e-308", 0x000fffffffffffff},
        {"2.2250738585072012e-308", 0x0010000000000000},
        {"5e-324", 1},
        {"4.9406564584124654e-324", 1},
        {"3e-324", 1},
        {"2.4703282292062328e-324", 1},
        {"2.4703282292062327e-324", 0},
        {"2e-324", 0},
        {"7.4109846876186982e-324", 2},
        {"7.4109846876186981e-324", 1},
        {"1e-400", 0},
        {"-1e-999999999999999999999999999999", 0x8000000000000000},
        {"0e999999999999999999999999999999", 0},
        {"0.000e-999999999999999999999999999999", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (bits_of(real_of(cases[i].text)) != cases[i].bits) {
            test_fail(__FILE__, __LINE__, cases[i].text);
        }
        check_as_strtod(cases[i].text);
    }
    CHECK(real_of("0.1") + real_of("0.2") == real_of("0.30000000000000004"));
}

TEST(reals_beyond_the_largest_are_refused) {
    static const char *const texts[] = {
        "1e400",
        "-1e400",
        "1e309",
        "1.8e308",
        "1.797693134862315808e308",
        "1e999999999999",
        "-0.001e999999999999999999999999",
        "1e18446744073709551616",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        double real = 7;
        float real32 = 7;
        CHECK_INT(mcore_number_real(text_of(texts[i]), &real), MCORE_ELIMIT);
        CHECK_INT(mcore_number_real32(text_of(texts[i]), &real32), MCORE_ELIMIT);
        CHECK(real == 7 && real32 == 7);
    }
    float real32 = 0;
    CHECK_INT(mcore_number_real32(text_of("3.4028235e38"), &real32), MCORE_OK);
    CHECK_INT(bits32_of(real32), 0x7f7fffff);
    CHECK_INT(mcore_number_real32(text_of("3.4028236e38"), &real32), MCORE_ELIMIT);
    CHECK_INT(mcore_number_real32(text_of("3.40282356779733661637539e38"), &real32), MCORE_OK);
    CHECK_INT(mcore_number_real32(text_of("3.40282356779733661637540e38"), &real32), MCORE_ELIMIT);
}

/* Rounded to a double first, these would be half way between two floats. */
TEST(floats_are_rounded_once) {
    static const struct {
        const char *text;
        uint32_t bits;
    } cases[] = {
        {"16777217", 0x4b800000},
        {"16777217.000000001", 0x4b800001},
        {"16777216.999999999", 0x4b800000},
        {"16777219", 0x4b800002},
        {"1.00000017881393432617187499", 0x3f800001},
        {"1.00000017881393432617187500", 0x3f800002},
        {"0.1", 0x3dcccccd},
        {"1e10", 0x501502f9},
        {"1e11", 0x51ba43b7},
        {"1e-45", 1},
        {"7.0064923216240853e-46", 0},
        {"7.0064923216240854e-46", 1},
        {"1e-46", 0},
        {"1.17549435e-38", 0x00800000},
        {"1.1754942e-38", 0x007fffff},
        {"-12.5", 0xc1480000},
        {"-0", 0x80000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float value = NAN;
        mcore_status status = mcore_number_real32(text_of(cases[i].text), &value);
        if (status != MCORE_OK || bits32_of(value) != cases[i].bits) {
            test_fail(__FILE__, __LINE__, cases[i].text);
        }
        check_as_strtod(cases[i].text);
    }
}

enum { FRACTION = 1080, WIDTH = 310 + 1 + FRACTION };

/* The text of (a + b) / 2, for neighbours, by adding and halving their digits. */
static char *write_half(double a, double b, char text[WIDTH + 32]) {
    char other[WIDTH + 1];
    CHECK_INT(snprintf(text, WIDTH + 1, "%0*.*f", WIDTH, FRACTION, a), WIDTH);
    CHECK_INT(snprintf(other, sizeof other, "%0*.*f", WIDTH, FRACTION, b), WIDTH);
    int carry = 0;
    for (int i = WIDTH - 1; i >= 0; i--) {
        if (text[i] == '.') continue;
        int sum = text[i] - '0' + other[i] - '0' + carry;
        carry = sum / 10;
        text[i] = (char)('0' + sum % 10);
    }
    int rest = carry;
    for (int i = 0; i < WIDTH; i++) {
        if (text[i] == '.') continue;
        int value = rest * 10 + text[i] - '0';
        text[i] = (char)('0' + value / 2);
        rest = value % 2;
    }
    CHECK_INT(rest, 0);
    while (text[0] == '0' && text[1] != '.') text++;
    return text;
}

/* What is exactly half way between two doubles, and a little beside it, wherever that little is. */
static void check_halves(double lower) {
    double upper = real_of_bits(bits_of(lower) + 1);
    if (!isfinite(lower) || !isfinite(upper)) return;
    static char buffer[WIDTH + 32];
    char *text = write_half(lower, upper, buffer), *end = text + strlen(text);
    check_as_strtod(text);
    CHECK(real_of(text) == (bits_of(lower) & 1 ? upper : lower));
    end[-1] = '1';
    check_as_strtod(text);
    CHECK(real_of(text) == upper);
    end[-1] = '0';
    while (end[-1] == '0') end--;
    if (end[-1] == '.') return;
    *end = '\0';
    check_as_strtod(text);
    end[-1]--;
    snprintf(end, 32, "99999999999999999999");
    check_as_strtod(text);
    CHECK(real_of(text) == lower);
}

TEST(halves_go_to_the_even_one) {
    check_halves(1);
    check_halves(0.1);
    check_halves(9007199254740992.0);
    check_halves(real_of_bits(1));
    check_halves(real_of_bits(2));
    check_halves(real_of_bits(0x000fffffffffffff));
    check_halves(real_of_bits(0x0010000000000000));
    check_halves(real_of_bits(0x001fffffffffffff));
    check_halves(1e22);
    check_halves(1e23);
    check_halves(1e300);
    for (int i = 0; i < 3000; i++) check_halves(real_of_bits(random_next() >> 1));
    for (int i = 0; i < 1000; i++) check_halves(real_of_bits(random_next() >> (12 + i % 50)));
}

/* Digits, zeros, or both, as many as make numbers of all lengths. */
TEST(long_numbers) {
    enum { LONG = 200000 };
    char *text = malloc(LONG + 32);
    CHECK(text != NULL);
    for (size_t len = 1; len < 1000; len += 1 + len / 20) {
        text[0] = '1';
        for (size_t i = 1; i < len; i++) text[i] = (char)('0' + random_below(10));
        snprintf(text + len, 32, "e-%zu", len + 3);
        check_as_strtod(text);
        snprintf(text + len, 32, "e-%zu", len + 315);
        check_as_strtod(text);
        snprintf(text + len, 32, ".%u", random_below(1000));
        check_as_strtod(text);
        text[0] = '0', text[1] = '.';
        check_as_strtod(len > 2 ? (text[len] = '\0', text) : "0.0");
    }

    text[0] = '0', text[1] = '.';
    memset(text + 2, '0', LONG);
    snprintf(text + LONG, 32, "15e%d", LONG - 1);
    CHECK(real_of(text) == 1.5);
    int64_t integer = 0;
    CHECK_INT(mcore_number_integer(text_of(text), &integer), MCORE_EINVAL);
    snprintf(text + LONG, 32, "15e%d", LONG);
    CHECK_INT(mcore_number_integer(text_of(text), &integer), MCORE_OK);
    CHECK_INT(integer, 15);

    memset(text, '0', LONG);
    text[0] = '2';
    snprintf(text + LONG, 32, "e-%d", LONG - 1);
    CHECK(real_of(text) == 2);
    CHECK_INT(mcore_number_integer(text_of(text), &integer), MCORE_OK);
    CHECK_INT(integer, 2);
    snprintf(text + LONG, 32, ".000e-%d", LONG);
    CHECK(real_of(text) == 0.2);

    /* 1 + 2^-53, the half, and one digit more at the very end. */
    const char half[] = "1.00000000000000011102230246251565404236316680908203125";
    memcpy(text, half, sizeof half - 1);
    text[LONG] = '\0';
    CHECK(real_of(text) == 1);
    text[LONG - 1] = '1';
    CHECK(real_of(text) == real_of_bits(0x3ff0000000000001));
    free(text);
}

TEST(random_decimals_are_what_strtod_reads) {
    char text[128];
    for (int i = 0; i < 300000; i++) {
        char *at = text;
        if (random_below(4) == 0) *at++ = '-';
        *at++ = (char)('1' + random_below(9));
        for (unsigned n = random_below(24); n > 0; n--) *at++ = (char)('0' + random_below(10));
        if (random_below(2) == 0) {
            if (random_below(8) == 0) at = text, *at++ = '0';
            *at++ = '.';
            for (unsigned n = random_below(24) + 1; n > 0; n--) {
                *at++ = (char)('0' + (random_below(4) ? random_below(10) : 0));
            }
        }
        *at = '\0';
        if (random_below(2)) {
            int range = random_below(2) ? 30 : 350;
            snprintf(at, 16, "%c%d", random_below(2) ? 'e' : 'E',
                     (int)random_below(2 * (unsigned)range) - range);
        }
        check_as_strtod(text);
    }
}

/* ---- Integers ---- */

TEST(integers) {
    static const struct {
        const char *text;
        mcore_status status;
        int64_t value;
    } cases[] = {
        {"0", MCORE_OK, 0},
        {"-0", MCORE_OK, 0},
        {"-0.000e-7", MCORE_OK, 0},
        {"0e999999999999", MCORE_OK, 0},
        {"0e-999999999999", MCORE_OK, 0},
        {"7", MCORE_OK, 7},
        {"-7", MCORE_OK, -7},
        {"1.0", MCORE_OK, 1},
        {"-1.0", MCORE_OK, -1},
        {"12e2", MCORE_OK, 1200},
        {"120e-1", MCORE_OK, 12},
        {"1.2e1", MCORE_OK, 12},
        {"0.00012E+4", MCORE_EINVAL, 0},
        {"0.00012E+5", MCORE_OK, 12},
        {"1.5", MCORE_EINVAL, 0},
        {"125e-2", MCORE_EINVAL, 0},
        {"1e-999999999999", MCORE_EINVAL, 0},
        {"99999999999999999999.5", MCORE_EINVAL, 0},
        {"9223372036854775807", MCORE_OK, INT64_MAX},
        {"9223372036854775807.000000000000000000000", MCORE_OK, INT64_MAX},
        {"9223372036854775807.000000000000000000001", MCORE_EINVAL, 0},
        {"9.223372036854775807e18", MCORE_OK, INT64_MAX},
        {"92233720368547758070000e-4", MCORE_OK, INT64_MAX},
        {"9223372036854775808", MCORE_ELIMIT, 0},
        {"-9223372036854775807", MCORE_OK, -INT64_MAX},
        {"-9223372036854775808", MCORE_OK, INT64_MIN},
        {"-9.223372036854775808e18", MCORE_OK, INT64_MIN},
        {"-9223372036854775809", MCORE_ELIMIT, 0},
        {"18446744073709551616", MCORE_ELIMIT, 0},
        {"18446744073709551617", MCORE_ELIMIT, 0},
        {"99999999999999999999", MCORE_ELIMIT, 0},
        {"100000000000000000000", MCORE_ELIMIT, 0},
        {"1e18", MCORE_OK, 1000000000000000000},
        {"1e19", MCORE_ELIMIT, 0},
        {"1e400", MCORE_ELIMIT, 0},
        {"1e999999999999", MCORE_ELIMIT, 0},
        {"0.1e99999999999999999999", MCORE_ELIMIT, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 77;
        mcore_status status = mcore_number_integer(text_of(cases[i].text), &value);
        if (status != cases[i].status || value != (status == MCORE_OK ? cases[i].value : 77)) {
            test_fail(__FILE__, __LINE__, cases[i].text);
        }
    }
}

TEST(naturals) {
    static const struct {
        const char *text;
        mcore_status status;
        uint64_t value;
    } cases[] = {
        {"0", MCORE_OK, 0},
        {"-0", MCORE_OK, 0},
        {"-1", MCORE_ELIMIT, 0},
        {"-1.5", MCORE_EINVAL, 0},
        {"18446744073709551615", MCORE_OK, UINT64_MAX},
        {"1844674407370955161.5e1", MCORE_OK, UINT64_MAX},
        {"1844674407370955161.6e1", MCORE_ELIMIT, 0},
        {"18446744073709551616", MCORE_ELIMIT, 0},
        {"28446744073709551616", MCORE_ELIMIT, 0},
        {"9223372036854775808", MCORE_OK, (uint64_t)1 << 63},
        {"1e19", MCORE_OK, 10000000000000000000u},
        {"2e19", MCORE_ELIMIT, 0},
        {"1e20", MCORE_ELIMIT, 0},
        {"0.5", MCORE_EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t value = 77;
        mcore_status status = mcore_number_natural(text_of(cases[i].text), &value);
        if (status != cases[i].status || value != (status == MCORE_OK ? cases[i].value : 77)) {
            test_fail(__FILE__, __LINE__, cases[i].text);
        }
    }
}

static void check_natural(uint64_t value) {
    char expected[32], text[MCORE__INTEGER_TEXT_MAX];
    snprintf(expected, sizeof expected, "%" PRIu64, value);
    size_t len = mcore__write_natural(text, value);
    CHECK_SLICE(((mcore_slice){text, len}), expected);
    uint64_t back;
    CHECK_INT(mcore_number_natural((mcore_slice){text, len}, &back), MCORE_OK);
    CHECK(back == value);
}

static void check_integer(int64_t value) {
    char expected[32], text[MCORE__INTEGER_TEXT_MAX];
    snprintf(expected, sizeof expected, "%" PRId64, value);
    size_t len = mcore__write_integer(text, value);
    CHECK_SLICE(((mcore_slice){text, len}), expected);
    int64_t back;
    CHECK_INT(mcore_number_integer((mcore_slice){text, len}, &back), MCORE_OK);
    CHECK_INT(back, value);
}

TEST(integers_are_written_and_read_back) {
    for (int value = -1100; value <= 1100; value++) check_integer(value);
    check_integer(INT64_MAX);
    check_integer(INT64_MIN);
    check_natural(UINT64_MAX);
    uint64_t power = 1;
    for (int digits = 0; digits < 20; digits++, power *= 10) {
        check_natural(power - 1);
        check_natural(power);
        check_natural(power + 1);
    }
    for (int i = 0; i < 20000; i++) {
        check_natural(random_next() >> i % 64);
        check_integer((int64_t)random_next() >> i % 64);
    }
}

/* ---- Writing reals ---- */

static const char *written(double value) {
    static char text[MCORE__REAL_TEXT_MAX + 1];
    char exact[MCORE__REAL_TEXT_MAX]; /* so that the sanitizer sees what is written beyond */
    size_t len = mcore__write_real(exact, value);
    memcpy(text, exact, len);
    text[len] = '\0';
    return text;
}

static const char *written32(float value) {
    static char text[MCORE__REAL_TEXT_MAX + 1];
    char exact[MCORE__REAL_TEXT_MAX];
    size_t len = mcore__write_real32(exact, value);
    memcpy(text, exact, len);
    text[len] = '\0';
    return text;
}

/* RFC 8785, appendix B. It drops the sign of -0, and we don't. */
TEST(reals_are_written_as_rfc_8785_shows) {
    static const struct {
        uint64_t bits;
        const char *text;
    } cases[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "-0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_SLICE(text_of(written(real_of_bits(cases[i].bits))), cases[i].text);
        CHECK(bits_of(real_of(cases[i].text)) == cases[i].bits);
    }
}

TEST(each_form_of_a_real) {
    static const char *const texts[] = {
        "1",
        "10",
        "100",
        "-7",
        "1.5",
        "12.5",
        "123.5",
        "0.5",
        "0.05",
        "0.005",
        "0.0005",
        "0.00005",
        "0.000005",
        "5e-7",
        "1e-7",
        "1.5e-7",
        "0.1",
        "0.3",
        "0.30000000000000004",
        "100.25",
        "1e+21",
        "1.5e+21",
        "1e+22",
        "1e+100",
        "1e-100",
        "1e-10",
        "2.5e-10",
        "1234567.125",
        "12345678.125",
        "123456789.125",
        "1234567890.125",
        "1234567890123.25",
        "12345678901234.25",
        "123456789012345.25",
        "4503599627370495.5",
        "100000000000000000000",
        "123456789012345680000",
        "12345678901234567000",
        "9007199254740993000",
        "2.2250738585072014e-308",
        "4.5e-320",
        "1e-323",
        "9007199254740994",
        "18014398509481984",
        "36028797018963970",
        "-1.2345678901234567e-200",
        "-0.0000012345678901234567",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_SLICE(text_of(written(real_of(texts[i]))), texts[i]);
    }
    CHECK_SLICE(text_of(written32(0.1f)), "0.1");
    CHECK_SLICE(text_of(written32(16777216.0f)), "16777216");
    CHECK_SLICE(text_of(written32(16777217.0f)), "16777216");
    CHECK_SLICE(text_of(written32(3.4028235e38f)), "3.4028235e+38");
    CHECK_SLICE(text_of(written32(1e-45f)), "1e-45");
    CHECK_SLICE(text_of(written32(1.17549435e-38f)), "1.1754944e-38");
    CHECK_SLICE(text_of(written32(-0.0f)), "-0");
    CHECK_SLICE(text_of(written32(1e10f)), "10000000000");
    CHECK_SLICE(text_of(written32(1e21f)), "1e+21");
    CHECK_SLICE(text_of(written32(8388607.5f)), "8388607.5");
    CHECK_SLICE(text_of(written32(-12.25f)), "-12.25");
}

/* The significant digits of a text, without zeros at either end. */
static void digits_of(const char *text, char out[32]) {
    size_t count = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text >= '0' && *text <= '9' && (count || *text != '0')) out[count++] = *text;
    }
    while (count > 1 && out[count - 1] == '0') count--;
    out[count] = '\0';
}

/* No text with fewer digits reads back as the value; with that many, ours is the nearest. Only at a
 * power of two, whose upper neighbour is twice as far, the nearest with so many digits can be
 * another number, and one above it still the same: 7.120236347223045e-307. */
static void check_shortest(double value) {
    char nearest[40], digits[32], expected[32];
    digits_of(written(value), digits);
    for (int count = 0; count < 17; count++) {
        snprintf(nearest, sizeof nearest, "%.*e", count, value);
        if (strtod(nearest, NULL) == value) break;
    }
    digits_of(nearest, expected);
    int is_power_of_two = (bits_of(value) & (((uint64_t)1 << 52) - 1)) == 0;
    if (is_power_of_two && strlen(digits) < strlen(expected)) {
        CHECK(real_of(written(value)) == value);
    } else {
        CHECK_SLICE(text_of(digits), expected);
    }
}

static void check_shortest32(float value) {
    char nearest[40], digits[32], expected[32];
    digits_of(written32(value), digits);
    for (int count = 0; count < 9; count++) {
        snprintf(nearest, sizeof nearest, "%.*e", count, (double)value);
        if (strtof(nearest, NULL) == value) break;
    }
    digits_of(nearest, expected);
    int is_power_of_two = (bits32_of(value) & 0x7fffff) == 0;
    if (is_power_of_two && strlen(digits) < strlen(expected)) {
        CHECK(strtof(written32(value), NULL) == value);
    } else {
        CHECK_SLICE(text_of(digits), expected);
    }
}

static void check_round_trip(uint64_t bits) {
    double value = real_of_bits(bits);
    if (!isfinite(value)) return;
    const char *text = written(value);
    if (bits_of(real_of(text)) != bits) test_fail(__FILE__, __LINE__, text);
}

static void check_round_trip32(uint32_t bits) {
    float value, back = NAN;
    memcpy(&value, &bits, sizeof value);
    if (!isfinite(value)) return;
    const char *text = written32(value);
    mcore_status status = mcore_number_real32(text_of(text), &back);
    if (status != MCORE_OK || bits32_of(back) != bits) test_fail(__FILE__, __LINE__, text);
}

/* Each power of two is where neighbours change their distance. */
TEST(reals_are_written_shortest_and_read_back) {
    for (uint64_t exponent = 0; exponent < 0x7ff; exponent++) {
        for (int beside = -2; beside <= 2; beside++) {
            uint64_t bits = (exponent << 52) + (uint64_t)(int64_t)beside;
            if (bits >> 52 >= 0x7ff) continue; /* below 0 */
            check_round_trip(bits);
            check_shortest(real_of_bits(bits));
        }
    }
    for (uint64_t bits = 1; bits < 2000; bits++) {
        check_round_trip(bits);
        check_shortest(real_of_bits(bits));
    }
    for (int i = 0; i < 200000; i++) check_round_trip(random_next());
    for (int i = 0; i < 200000; i++) check_round_trip32((uint32_t)random_next());
    for (int i = 0; i < 10000; i++) {
        double value = real_of_bits(random_next());
        if (isfinite(value)) check_shortest(value);
        check_shortest((double)random_below(1000000) / 1000);
        uint32_t bits = (uint32_t)random_next();
        float value32;
        memcpy(&value32, &bits, sizeof bits);
        if (isfinite(value32)) check_shortest32(value32);
    }
    for (uint32_t exponent = 0; exponent < 0xff; exponent++) {
        for (int beside = -2; beside <= 2; beside++) {
            uint32_t bits = (exponent << 23) + (uint32_t)beside;
            float value32;
            memcpy(&value32, &bits, sizeof bits);
            if (!isfinite(value32)) continue;
            check_round_trip32(bits);
            check_shortest32(value32);
        }
    }
}

/* ---- What it is made of ---- */

TEST(eight_digits_at_a_time) {
    for (int i = 0; i < 20000; i++) {
        char text[16], back[8];
        uint32_t value = random_below(100000000) / (i % 2 ? 1 : 1 + random_below(100000000));
        snprintf(text, sizeof text, "%08" PRIu32, value);
        uint64_t word = mcore__load_8(text);
        CHECK(mcore__are_digits(word));
        CHECK_INT(mcore__digits_value(word), value);
        mcore__store_8(back, mcore__digits_of(value) | MCORE__ZEROS);
        CHECK(memcmp(back, text, 8) == 0);
    }
    for (int at = 0; at < 8; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[] = "09182736";
            text[at] = (char)byte;
            CHECK_INT(mcore__are_digits(mcore__load_8(text)), byte >= '0' && byte <= '9');
        }
    }
}

TEST(powers_of_ten) {
    for (int power = MCORE__POWER_MIN; power <= MCORE__POWER_MAX; power++) {
        mcore__wide ten = mcore__power_of_ten(power);
        CHECK(ten.high >> 63);
        if (power == MCORE__POWER_MAX) break;
        /* 10^(n + 1) is 10^n * 10, to what was cut off. */
        mcore__wide next = mcore__power_of_ten(power + 1);
        int shift = mcore__power_bits(power + 1) - mcore__power_bits(power);
        CHECK(shift == 3 || shift == 4);
        mcore__wide low = mcore__wide_product(ten.low, 10),
                    high = mcore__wide_product(ten.high, 10);
        uint64_t middle = high.low + low.high;
        uint64_t top = high.high + (middle < high.low);
        CHECK(top << (64 - shift) == (next.high & ~(UINT64_MAX >> shift)));
        CHECK((top << (64 - shift) | middle >> shift) - next.high + 1 <= 2);
    }
    CHECK(mcore__power_of_ten(0).high == (uint64_t)1 << 63 && mcore__power_of_ten(0).low == 0);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
