/* The wire format of message sockets (mcore/message_socket.h). Pure.
 *
 * Each side begins with a preface of 8 bytes: F8 "micro" LF, and the version, which is 1. No text
 * and no TLS begins with F8, so that whoever speaks something else is known by one byte. The side
 * that accepted says its preface when it has seen the other one.
 *
 * Then messages, each a frame:
 *
 *     u32 length of the headers   u32 length of the body   headers   body
 *
 * and each header is
 *
 *     u16 length of the name   u32 length of the value   name   value
 *
 * with all numbers big endian. Names are those of HTTP/2: tokens in lower case; a name may come
 * again. Values have no control characters and no blanks at their ends, but those of names that
 * end in "-bin" are any bytes.
 *
 * The last frame is the end: both lengths are FF FF FF FF. Who goes away without it has been cut
 * off, or has died, and messages may be missing. */
#ifndef MCORE_FRAME_MESSAGE_FRAME_H
#define MCORE_FRAME_MESSAGE_FRAME_H

#include "base/buffer.h"
#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

#define MCORE__MESSAGE_PREFACE_BYTES 8u
#define MCORE__MESSAGE_PREFIX_BYTES 8u
#define MCORE__MESSAGE_HEADER_PREFIX_BYTES 6u
/* One line that says what is wrong with a message, 0-terminated. */
#define MCORE__MESSAGE_PROBLEM_BYTES 112u

extern const uint8_t mcore__message_preface[MCORE__MESSAGE_PREFACE_BYTES];

/* Takes what `input` has of the peer's preface off its front; `*inout_known` bytes of it, 0 at
 * first, have come. On an error `problem` says why. Errors: MCORE_EPROTO (it is another one). */
mcore_status mcore__message_take_preface(uint32_t *inout_known, mcore_slice *input, char *problem);

typedef struct mcore__message_limits {
    uint32_t header_bytes_max; /* as they are on the wire */
    uint32_t header_count_max;
    uint32_t body_bytes_max;
} mcore__message_limits;

/* Cuts messages out of a byte stream. A message that arrived whole is not copied. */
typedef struct mcore__message_cutter {
    mcore__message_limits limits;
    mcore__buffer partial; /* a frame that is not complete, or was handed out last */
    mcore_header *headers; /* of the message that was handed out last */
    uint32_t header_capacity;
    uint32_t ended; /* the end was cut */
    char problem[MCORE__MESSAGE_PROBLEM_BYTES];
} mcore__message_cutter;

typedef struct mcore__message {
    const mcore_header *headers;
    uint32_t header_count;
    mcore_slice body;
} mcore__message;

void mcore__message_cutter_init(mcore__message_cutter *cutter, const mcore__message_limits *limits);
void mcore__message_cutter_free(mcore__message_cutter *cutter);

/* Takes the next message off the front of `input`. `*out_ready` is 1 and `*out_message` set, or it
 * is 0 and all of `input` was taken in, or cutter->ended was set and nothing more is cut. The
 * message is valid until the next call, and as long as the bytes behind `input`. Lengths are
 * checked before memory is taken. On an error cutter->problem says why. Errors: MCORE_EPROTO,
 * MCORE_ELIMIT, MCORE_ENOMEM. */
mcore_status mcore__message_cut(mcore__message_cutter *cutter, mcore_slice *input,
                                uint32_t *out_ready, mcore__message *out_message);
/* The message that was handed out last is not used any more: its memory is given back. */
void mcore__message_cutter_release(mcore__message_cutter *cutter);
/* Appends a message to `out`; on an error nothing is, and `problem` says why.
 * Errors: MCORE_EINVAL (a name or a value), MCORE_ELIMIT, MCORE_ENOMEM. */
mcore_status mcore__message_write(mcore__buffer *out, const mcore__message_limits *limits,
                                  const mcore__message *message, char *problem);
/* Appends the end. Errors: MCORE_ENOMEM. */
mcore_status mcore__message_write_end(mcore__buffer *out);

#endif
