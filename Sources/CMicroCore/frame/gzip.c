#include "frame/gzip.h"

#include "base/memory.h"

#include <string.h>

#if __has_include(<zlib.h>)
#define ZLIB_CONST
#include <zlib.h>
#else
#error "<zlib.h> is missing: run 'apt-get install zlib1g-dev'"
#endif

enum {
    /* Compression runs on the loop, where every microsecond is one that others wait. */
    LEVEL = Z_BEST_SPEED,
    MEMORY_LEVEL = 8,           /* zlib's default */
    WINDOW_BITS_ZLIB = 15,      /* 32 KiB, a wrapper as in RFC 1950 */
    WINDOW_BITS_GZIP = 15 + 16, /* the same window, a wrapper as in RFC 1952 */
    ROOM_MIN = 512,             /* first room for a decompressed message */
    RATIO_GUESSED = 3
};

struct mcore__coder {
    z_stream in, out;        /* of inflate, of deflate */
    int in_ready, out_ready; /* zlib's state exists */
};

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
    if (is_named(name, "gzip") || is_named(name, "x-gzip")) return MCORE__CODING_GZIP;
    if (is_named(name, "deflate")) return MCORE__CODING_DEFLATE;
    return MCORE__CODING_UNKNOWN;
}

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

/* "q=0" says that a coding is not wanted (RFC 9110 12.4.2). */
static int is_excluded(mcore_slice parameters) {
    while (parameters.len) {
        mcore_slice parameter = take_until(&parameters, ';');
        const char *at = parameter.data;
        if (parameter.len < 3 || (at[0] | 0x20) != 'q' || at[1] != '=') continue;
        size_t i = 2;
        while (i < parameter.len && (at[i] == '0' || at[i] == '.')) i++;
        return i == parameter.len;
    }
    return 0;
}

int mcore__coding_list_has_gzip(mcore_slice list) {
    while (list.len) {
        mcore_slice entry = take_until(&list, ',');
        mcore_slice name = take_until(&entry, ';');
        if (mcore__coding_of(name) == MCORE__CODING_GZIP) return !is_excluded(entry);
    }
    return 0;
}

/* ---- The coder ---- */

static void *zlib_alloc(void *opaque, uInt items, uInt size) {
    (void)opaque;
    return mcore__alloc((size_t)items * size);
}

static void zlib_free(void *opaque, void *ptr) {
    (void)opaque;
    mcore__free(ptr);
}

mcore__coder *mcore__coder_create(void) {
    mcore__coder *coder = mcore__zalloc(sizeof *coder);
    if (!coder) return NULL;
    coder->in.zalloc = coder->out.zalloc = zlib_alloc;
    coder->in.zfree = coder->out.zfree = zlib_free;
    return coder;
}

void mcore__coder_destroy(mcore__coder *coder) {
    if (!coder) return;
    if (coder->in_ready) inflateEnd(&coder->in);
    if (coder->out_ready) deflateEnd(&coder->out);
    mcore__free(coder);
}

static uInt clamp(size_t len) { return len > UINT32_MAX ? UINT32_MAX : (uInt)len; }

/* ---- Decompression ---- */

static mcore_status begin_inflate(mcore__coder *coder, mcore__coding coding, mcore_slice message) {
    int bits = coding == MCORE__CODING_GZIP ? WINDOW_BITS_GZIP : WINDOW_BITS_ZLIB;
    int rv = coder->in_ready ? inflateReset2(&coder->in, bits) : inflateInit2(&coder->in, bits);
    if (rv != Z_OK) return MCORE_ENOMEM;
    coder->in_ready = 1;
    coder->in.next_in = message.data;
    coder->in.avail_in = (uInt)message.len;
    return MCORE_OK;
}

/* Makes up to `len` bytes at `to`; `*out_made` says how many. Sets *out_end at the message's end.
 * MCORE_OK without the end: there was no room for more. */
static mcore_status inflate_some(z_stream *z, uint8_t *to, size_t len, size_t *out_made,
                                 int *out_end) {
    uInt room = clamp(len);
    z->next_out = to;
    z->avail_out = room;
    int rv = inflate(z, Z_SYNC_FLUSH);
    *out_made = room - z->avail_out;
    *out_end = rv == Z_STREAM_END;
    if (*out_end) return z->avail_in ? MCORE_EPROTO : MCORE_OK; /* bytes behind the end */
    if (rv == Z_MEM_ERROR) return MCORE_ENOMEM;
    if (rv != Z_OK && rv != Z_BUF_ERROR) return MCORE_EPROTO;
    return z->avail_out ? MCORE_EPROTO : MCORE_OK; /* room is left, so input is missing */
}

/* The room follows what was made, twofold at a time and ending at the limit exactly: a message
 * costs its sender a thousandth of what it becomes. */
static mcore_status inflate_all(z_stream *z, size_t bytes_max, mcore__buffer *out) {
    size_t made = 0, guess = (size_t)z->avail_in * RATIO_GUESSED;
    unsigned halvings = 0;
    if (guess < ROOM_MIN) guess = ROOM_MIN;
    while (bytes_max >> (halvings + 1) >= guess) halvings++;
    for (;;) {
        uint8_t beyond;
        size_t room = (bytes_max >> halvings) - made, some;
        int end, full = room == 0;
        mcore_status status = full ? MCORE_OK : mcore__buffer_reserve(out, room);
        if (status) return status;
        /* The end may be all that is missing: it is looked for with room for one byte elsewhere. */
        status = full ? inflate_some(z, &beyond, 1, &some, &end)
                      : inflate_some(z, mcore__buffer_tail(out), room, &some, &end);
        if (full && some) return MCORE_ELIMIT;
        if (status) return status;
        out->end += some;
        made += some;
        if (end) return MCORE_OK;
        if (made == bytes_max >> halvings && halvings) halvings--;
    }
}

mcore_status mcore__inflate(mcore__coder *coder, mcore__coding coding, mcore_slice message,
                            size_t bytes_max, mcore__buffer *out) {
    if (coding != MCORE__CODING_GZIP && coding != MCORE__CODING_DEFLATE) return MCORE_EINVAL;
    if (!message.len) return MCORE_EPROTO;
    if (message.len > UINT32_MAX) return MCORE_ELIMIT;
    mcore_status status = begin_inflate(coder, coding, message);
    if (status) return status;
    size_t before = mcore__buffer_len(out);
    status = inflate_all(&coder->in, bytes_max, out);
    if (status) out->end = out->begin + before;
    return status;
}

/* ---- Compression ---- */

mcore_status mcore__gzip(mcore__coder *coder, mcore_slice message, mcore__buffer *out) {
    z_stream *z = &coder->out;
    if (message.len > UINT32_MAX / 2) return MCORE_ENOMEM; /* beyond what one call takes */
    int rv = coder->out_ready ? deflateReset(z)
                              : deflateInit2(z, LEVEL, Z_DEFLATED, WINDOW_BITS_GZIP, MEMORY_LEVEL,
                                             Z_DEFAULT_STRATEGY);
    if (rv != Z_OK) return MCORE_ENOMEM;
    coder->out_ready = 1;
    size_t bound = deflateBound(z, message.len);
    mcore_status status = mcore__buffer_reserve(out, bound);
    if (status) return status;
    z->next_in = message.len ? message.data : (const Bytef *)"";
    z->avail_in = (uInt)message.len;
    z->next_out = mcore__buffer_tail(out);
    z->avail_out = clamp(bound);
    if (deflate(z, Z_FINISH) != Z_STREAM_END) return MCORE_ENOMEM; /* the bound is one */
    out->end += clamp(bound) - z->avail_out;
    return MCORE_OK;
}
