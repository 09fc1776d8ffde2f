/* refused: 64 bytes */
#include "table.h"

const mcore_transport_plugin *mcore_transport_plugin_v1(void) {
    static mcore_transport_plugin table = {TABLE};
    table.struct_size = 64; /* up to create() */
    return &table;
}
