#include "frame/coding.h"

#include "frame/zlib_coding.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 31, BUILT_IN = MCORE__CODING_DEFLATE + 1, QUALITY_MOST = 1000 };

/* What others are told, after each registration anew: whoever has read one keeps it. */
typedef struct offer {
    char grpc[MCORE__CODINGS_MAX * (NAME_MAX_BYTES + 1)];
    char http[MCORE__CODINGS_MAX * (NAME_MAX_BYTES + 2)];
    size_t grpc_len, http_len;
} offer;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const mcore_coding *tables[MCORE__CODINGS_MAX] = {
    [MCORE__CODING_GZIP] = &mcore__gzip_coding,
    [MCORE__CODING_DEFLATE] = &mcore__deflate_coding,
};
static _Atomic uint32_t table_count = BUILT_IN;
static offer offers[MCORE__CODINGS_MAX - BUILT_IN];

/* ---- Registering ---- */

static int name_valid(const char *name) {
    size_t len = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") : 0;
    return len > 0 && len <= NAME_MAX_BYTES && !name[len];
}

static int table_valid(const mcore_coding *coding) {
    if (!coding || coding->struct_size < sizeof *coding || !name_valid(coding->name)) return 0;
    return coding->decoder_create && coding->decoder_destroy && coding->decoder_reset &&
           coding->decode && coding->decoder_bytes && coding->encoder_create &&
           coding->encoder_destroy && coding->encoder_reset && coding->encoder_room &&
           coding->encode && coding->encoder_bytes;
}

static void append(char *text, size_t *len, const char *before, const char *name) {
    size_t before_len = strlen(before), name_len = strlen(name);
    memcpy(text + *len, before, before_len);
    memcpy(text + *len + before_len, name, name_len);
    *len += before_len + name_len;
}

static void write_offer(uint32_t count, offer *out) {
    append(out->grpc, &out->grpc_len, "", "identity,deflate,gzip");
    append(out->http, &out->http_len, "", "gzip, deflate");
    for (uint32_t i = BUILT_IN; i < count; i++) {
        append(out->grpc, &out->grpc_len, ",", tables[i]->name);
        append(out->http, &out->http_len, ", ", tables[i]->name);
    }
}

static mcore_status add(const mcore_coding *coding) {
    uint32_t count = atomic_load_explicit(&table_count, memory_order_relaxed);
    for (uint32_t i = BUILT_IN; i < count; i++)
        if (tables[i] == coding) return MCORE_OK;
    if (mcore__coding_of((mcore_slice){coding->name, strlen(coding->name)})) return MCORE_EEXIST;
    if (count == MCORE__CODINGS_MAX) return MCORE_ELIMIT;
    tables[count] = coding;
    write_offer(count + 1, &offers[count - BUILT_IN]);
    atomic_store_explicit(&table_count, count + 1, memory_order_release);
    return MCORE_OK;
}

mcore_status mcore_coding_register(const mcore_coding *coding) {
    if (!table_valid(coding)) return MCORE_EINVAL;
    pthread_mutex_lock(&lock);
    mcore_status status = add(coding);
    pthread_mutex_unlock(&lock);
    return status;
}

static uint32_t count_of(void) { return atomic_load_explicit(&table_count, memory_order_acquire); }

mcore_slice mcore__codings_of_grpc(void) {
    uint32_t count = count_of();
    if (count == BUILT_IN) return (mcore_slice){"identity,deflate,gzip", 21};
    const offer *last = &offers[count - BUILT_IN - 1];
    return (mcore_slice){last->grpc, last->grpc_len};
}

mcore_slice mcore__codings_of_http(void) {
    uint32_t count = count_of();
    if (count == BUILT_IN) return (mcore_slice){"gzip, deflate", 13};
    const offer *last = &offers[count - BUILT_IN - 1];
    return (mcore_slice){last->http, last->http_len};
}

/* ---- Names ---- */

static int is_named(mcore_slice name, const char *text) {
    const char *at = name.data;
    for (size_t i = 0; i < name.len; i++) {
        char lower = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] | 0x20) : at[i];
        if (!text[i] || lower != text[i]) return 0;
    }
    return text[name.len] == 0;
}

mcore__coding mcore__coding_of(mcore_slice name) {
    if (!name.len || is_named(name, "identity")) return MCORE__CODING_IDENTITY;
    uint32_t count = count_of();
    for (mcore__coding i = MCORE__CODING_GZIP; i < count; i++)
        if (is_named(name, tables[i]->name)) return i;
    return is_named(name, "x-gzip") ? MCORE__CODING_GZIP : MCORE__CODING_UNKNOWN;
}

const mcore_coding *mcore__coding_table(mcore__coding coding) {
    return coding < count_of() ? tables[coding] : NULL;
}

mcore_slice mcore__coding_name(mcore__coding coding) {
    const mcore_coding *table = mcore__coding_table(coding);
    const char *name = table ? table->name : "identity";
    return (mcore_slice){name, strlen(name)};
}

mcore__coding mcore__coding_of_flags(uint32_t flags) {
    mcore__coding coding = (flags & MCORE_MESSAGE_CODING_MASK) >> 8;
    if (!coding) return MCORE__CODING_GZIP;
    return mcore__coding_table(coding) ? coding : MCORE__CODING_UNKNOWN;
}

uint32_t mcore_coding_flags(mcore_slice name) {
    mcore__coding coding = mcore__coding_of(name);
    return mcore__coding_table(coding) ? MCORE_MESSAGE_COMPRESSED | coding << 8 : 0;
}

/* ---- What both sides know ---- */

/* Takes what stands before `mark` off the front of the text; spaces around it are left out. */
static mcore_slice take_until(mcore_slice *text, char mark) {
    const char *begin = text->data, *end = begin + text->len;
    const char *stop = text->len ? memchr(begin, mark, text->len) : NULL;
    if (!stop) stop = end;
    size_t taken = (size_t)(stop - begin) + (stop < end);
    *text = (mcore_slice){begin + taken, text->len - taken};
    while (begin < stop && (*begin == ' ' || *begin == '\t')) begin++;
    while (stop > begin && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
    return (mcore_slice){begin, (size_t)(stop - begin)};
}

/* A weight (RFC 9110 12.4.2) in thousandths; -1 for what is none. */
static int32_t quality_of(mcore_slice text) {
    const char *at = text.data;
    if (!text.len || text.len > 5 || (at[0] != '0' && at[0] != '1')) return -1;
    if (text.len > 1 && at[1] != '.') return -1;
    int32_t quality = (at[0] - '0') * QUALITY_MOST, unit = 100;
    for (size_t i = 2; i < text.len; i++, unit /= 10) {
        if (at[i] < '0' || at[i] > '9') return -1;
        quality += (at[i] - '0') * unit;
    }
    return quality > QUALITY_MOST ? -1 : quality;
}

static int32_t quality_in(mcore_slice parameters) {
    while (parameters.len) {
        mcore_slice parameter = take_until(&parameters, ';');
        mcore_slice name = take_until(&parameter, '=');
        if (is_named(name, "q")) return quality_of(parameter);
    }
    return QUALITY_MOST;
}

/* The weight of each coding, -1: not mentioned. Entries that are malformed count as if they were
 * not there; of several for one coding the first counts. */
static void read_accept(mcore_slice accept, uint32_t count, int32_t *weights) {
    int32_t others = -1;
    for (uint32_t i = 0; i < count; i++) weights[i] = -1;
    while (accept.len) {
        mcore_slice entry = take_until(&accept, ',');
        mcore_slice name = take_until(&entry, ';');
        int is_star = name.len == 1 && *(const char *)name.data == '*';
        mcore__coding coding = name.len ? mcore__coding_of(name) : MCORE__CODING_UNKNOWN;
        int32_t *weight = is_star ? &others : &weights[coding < count ? coding : 0];
        if (*weight < 0) *weight = quality_in(entry);
        weights[MCORE__CODING_UNKNOWN] = -1;
    }
    for (uint32_t i = MCORE__CODING_IDENTITY; i < count; i++)
        if (weights[i] < 0) weights[i] = others;
}

mcore__coding mcore__coding_choose(mcore_slice accept, mcore__coding preferred) {
    int32_t weights[MCORE__CODINGS_MAX];
    uint32_t count = count_of();
    if (!accept.len) return MCORE__CODING_IDENTITY;
    read_accept(accept, count, weights);
    mcore__coding best = MCORE__CODING_IDENTITY;
    for (mcore__coding i = MCORE__CODING_GZIP; i < count; i++) {
        if (weights[i] <= 0 || weights[i] < weights[best]) continue;
        if (weights[i] > weights[best] || best == MCORE__CODING_IDENTITY || i == preferred)
            best = i;
    }
    return best;
}

int mcore__coding_is_demanded(mcore_slice accept) {
    /* Most say nothing of the kind: "q=0", "q=0.0". */
    if (!accept.len || !memchr(accept.data, '0', accept.len)) return 0;
    int32_t weights[MCORE__CODINGS_MAX];
    read_accept(accept, count_of(), weights);
    return weights[MCORE__CODING_IDENTITY] == 0;
}
