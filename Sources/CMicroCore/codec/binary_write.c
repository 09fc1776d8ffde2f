#include "codec/binary_write.h"

mcore_status mcore__binary_write_begin(mcore_writer *writer, mcore__level *level) {
    (void)level;
    return mcore__binary_write_byte(writer, 0);
}

mcore_status mcore__binary_write_element(mcore_writer *writer, mcore__level *level) {
    (void)writer, (void)level;
    return MCORE_OK;
}

mcore_status mcore__binary_write_end(mcore_writer *writer, const mcore__level *level,
                                     const uint8_t *head, size_t len) {
    uint8_t *end = mcore__writer_room(writer, len - 1);
    if (!end) return writer->status;
    uint8_t *begin = writer->bytes.data + level->begin;
    if (len > 1) memmove(begin + len, begin + 1, (size_t)(end - begin) - 1);
    memcpy(begin, head, len);
    return mcore__writer_wrote(writer, end + len - 1);
}
