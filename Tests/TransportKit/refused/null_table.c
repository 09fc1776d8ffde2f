/* refused: returned NULL */
#include "mcore/transport_plugin.h"

const mcore_transport_plugin *mcore_transport_plugin_v1(void) { return NULL; }
