/* What the writers of MessagePack and CBOR share: heads that say how much follows. That of a list
 * or a map is one byte at first, which is right for most, and becomes what it has to be at the end.
 */
#ifndef MCORE_CODEC_BINARY_WRITE_H
#define MCORE_CODEC_BINARY_WRITE_H

#include "codec/big_endian.h"
#include "codec/utf8.h"
#include "codec/writer.h"

enum { MCORE__HEAD_MAX = 9 };

static inline mcore_status mcore__binary_write_byte(mcore_writer *writer, uint8_t byte) {
    uint8_t *at = mcore__writer_room(writer, 1);
    if (!at) return writer->status;
    return mcore__writer_wrote(writer, mcore__store8(at, byte));
}

mcore_status mcore__binary_write_begin(mcore_writer *writer, mcore__level *level);
mcore_status mcore__binary_write_element(mcore_writer *writer, mcore__level *level);
/* The head of `len` bytes replaces that of the list or map. */
mcore_status mcore__binary_write_end(mcore_writer *writer, const mcore__level *level,
                                     const uint8_t *head, size_t len);

#endif
