/* What every host of transports does in the same way. */
#ifndef MCORE_NET_TRANSPORT_H
#define MCORE_NET_TRANSPORT_H

#include "mcore/transport_plugin.h"

/* Creates an instance, also of a table that was made at run time. */
static inline mcore_status mcore__transport_create(const mcore_transport_plugin *plugin,
                                                   const mcore_host *host, mcore_slice config_json,
                                                   void **out_self) {
    if (MCORE_HAS(mcore_transport_plugin, plugin, create_from))
        return plugin->create_from(plugin, host, config_json, out_self);
    return plugin->create(host, config_json, out_self);
}

#endif
