/* refused: has mcore_transport_plugin_v2 */
#include <stddef.h>

const void *mcore_transport_plugin_v2(void);
const void *mcore_transport_plugin_v2(void) { return NULL; }
