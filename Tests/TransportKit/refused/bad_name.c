/* refused: no scheme */
#include "table.h"

const mcore_transport_plugin *mcore_transport_plugin_v1(void) {
    static mcore_transport_plugin table = {TABLE};
    table.name = "No scheme!";
    return &table;
}
