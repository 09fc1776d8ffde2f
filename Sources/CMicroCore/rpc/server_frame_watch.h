/* Sees frame boundaries in the bytes of an HTTP/2 connection, so that the server can tell how long
 * a header has been under way: the session keeps half of one for as long as its peer likes. */
#ifndef MCORE_RPC_SERVER_FRAME_WATCH_H
#define MCORE_RPC_SERVER_FRAME_WATCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct mcore__frame_watch {
    uint32_t preface_left; /* bytes of the connection preface still to come */
    uint32_t payload_left;
    uint32_t header_len; /* bytes of a frame's own header that came */
    uint8_t header[9];
    uint8_t block_open; /* HEADERS without END_HEADERS yet */
    uint32_t completed; /* counts the ends of frames and of header blocks; wraps */
} mcore__frame_watch;

void mcore__frame_watch_init(mcore__frame_watch *watch);
void mcore__frame_watch_feed(mcore__frame_watch *watch, const uint8_t *data, size_t len);
/* 1 when something other than DATA is begun and not complete. */
int mcore__frame_watch_pending(const mcore__frame_watch *watch);

#endif
