/* One message of a call, and which sides of a call send many of them. */
#ifndef MCORE_MESSAGE_H
#define MCORE_MESSAGE_H

#include "mcore/slice.h"

#include <stdint.h>

enum {
    MCORE_STREAM_REQUEST = 1, /* the caller sends any number of messages; without it, one */
    MCORE_STREAM_REPLY = 2    /* the handler sends any number of messages; without it, one */
};

enum {
    /* Received: it was compressed on the wire (and is not any more). To be sent: it is compressed,
     * when the other side takes that. */
    MCORE_MESSAGE_COMPRESSED = 1,
    /* To be sent: with which coding, as mcore_coding_flags says; 0 is gzip. A server takes another
     * one where its caller does not take this one, or likes another better. */
    MCORE_MESSAGE_CODING_MASK = 0xff00
};

typedef struct mcore_message {
    mcore_slice bytes;
    uint32_t flags; /* MCORE_MESSAGE_*; unknown bits are ignored */
    uint32_t reserved;
} mcore_message;

#endif
