#include "codec/path.h"
#include "codec/writer.h"
#include "codec/writer_tree.h"

size_t mcore_writer_path(const mcore_writer *writer, char *out, size_t size) {
    mcore__path path = {out, size, 0};
    if (writer->collects) mcore__tree_path(writer, &path);
    for (uint32_t i = 0; i < writer->depth; i++) {
        const mcore__level *level = &writer->levels[i];
        if (!level->is_map && level->count > 0)
            mcore__path_put_natural(&path, level->count - 1);
        else if (level->is_map && level->key_len != MCORE__NO_KEY)
            mcore__path_put_key(&path,
                                (mcore_slice){writer->bytes.data + level->key, level->key_len},
                                writer->format->key_byte);
    }
    return mcore__path_end(&path);
}
