/* Content codings: how messages and bodies are compressed on their way.
 *
 * gzip (RFC 1952) and deflate (RFC 1950) are built in. A program brings others as tables of this
 * kind, and registers them before it uses a server or a client: from then on each takes them, says
 * so in accept-encoding and grpc-accept-encoding, and compresses with them what asks for it.
 *
 * A coder is pure: bytes in, bytes out. It is used by one thread at a time, and what it works on is
 * lent for one call. Limits are not its business: the core gives a decoder no more room than its
 * output may have, and stops there. What is its business is that the memory of its own stays small,
 * whatever a peer announces. */
#ifndef MCORE_CODING_H
#define MCORE_CODING_H

#include "mcore/message.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A coder moves both pointers on, and makes both lengths less, by what it has taken and made. */
typedef struct mcore_coding_step {
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t out_len;
} mcore_coding_step;

enum {
    MCORE_CODING_FLUSH = 1, /* more follows; what was taken so far must be readable without it */
    MCORE_CODING_END = 2    /* the last of the body */
};

enum {
    MCORE_CODING_MESSAGES = 0, /* whole messages, one after the other; few such encoders */
    MCORE_CODING_STREAM = 1 /* one body in many steps; one encoder for each call, so small ones */
};

/* Every slot is required. The table must live as long as the process. */
typedef struct mcore_coding {
    uint32_t struct_size; /* sizeof as its author compiled it */
    uint32_t reserved;
    /* As content-encoding and grpc-encoding say it: lower case letters, digits, '-', '_' and '.',
     * 31 at most. */
    const char *name;

    void *(*decoder_create)(void); /* NULL: no memory */
    void (*decoder_destroy)(void *decoder);
    /* Before each body, the first one included. Errors: MCORE_ENOMEM. */
    mcore_status (*decoder_reset)(void *decoder);
    /* Goes on until all input was taken or the room is full. It may hold back output for which
     * there was no room, and is called without input then. *out_complete is 1 when the body may end
     * here: nothing is held back, and checksums were right. What comes behind such an end is a
     * further part, in a coding that has them, or else an error. Errors: MCORE_EPROTO (not this
     * coding), MCORE_ENOMEM. The decoder is only reset then, or destroyed. */
    mcore_status (*decode)(void *decoder, mcore_coding_step *step, uint32_t *out_complete);
    size_t (*decoder_bytes)(const void *decoder); /* what it holds */

    void *(*encoder_create)(
        uint32_t purpose); /* MCORE_CODING_MESSAGES, or _STREAM. NULL: no memory */
    void (*encoder_destroy)(void *encoder);
    mcore_status (*encoder_reset)(void *encoder); /* before each body. Errors: MCORE_ENOMEM */
    /* Room with which one step for `len` bytes of a whole message is enough. */
    size_t (*encoder_room)(void *encoder, size_t len);
    /* `what` is MCORE_CODING_FLUSH or _END. Goes on until that is done or the room is full;
     * *out_done says which. Errors: MCORE_ENOMEM; the encoder is only reset then, or destroyed. */
    mcore_status (*encode)(void *encoder, mcore_coding_step *step, uint32_t what,
                           uint32_t *out_done);
    size_t (*encoder_bytes)(const void *encoder);
} mcore_coding;

/* Adds a coding for the whole process, for ever; the same table again is no error. Any thread.
 * Errors: MCORE_EINVAL (a slot is missing, the name is no name), MCORE_EEXIST (another one has this
 * name; "identity", "x-gzip" and "*" are taken, too), MCORE_ELIMIT (13 besides the built-in ones).
 */
mcore_status mcore_coding_register(const mcore_coding *coding);

/* The flags of a message, an answer or a call (mcore_message.flags) that is to be compressed with
 * the coding of this name. 0: there is none. Any thread. */
uint32_t mcore_coding_flags(mcore_slice name);

#ifdef __cplusplus
}
#endif

#endif
