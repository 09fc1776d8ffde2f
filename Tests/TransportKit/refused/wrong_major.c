/* refused: major version 3 */
#include "table.h"

const mcore_transport_plugin *mcore_transport_plugin_v1(void) {
    static mcore_transport_plugin table = {TABLE};
    table.abi_major = 3;
    return &table;
}
