#include "net/transport.h"

#include <stdio.h>
#include <string.h>

mcore_status mcore_transport_create(const mcore_transport_plugin *transport, const mcore_host *host,
                                    const mcore_header *options, uint32_t option_count,
                                    void **out_self) {
    if (MCORE_HAS(mcore_transport_plugin, transport, create_from))
        return transport->create_from(transport, host, options, option_count, out_self);
    return transport->create(host, options, option_count, out_self);
}

mcore_status mcore__transport_copy_name(const char *name, size_t len, char *out,
                                        size_t *inout_len) {
    size_t room = *inout_len;
    *inout_len = len;
    if (len > room) return MCORE_ELIMIT;
    if (len) memcpy(out, name, len);
    return MCORE_OK;
}

mcore_status mcore__transport_unknown_option(const mcore_host *host, const mcore_header *option) {
    char line[128];
    int shown = option->name.len > 64 ? 64 : (int)option->name.len;
    int len = snprintf(line, sizeof line, "unknown option \"%.*s\"", shown,
                       (const char *)option->name.data);
    host->log(host->self, MCORE_LOG_ERROR, line, (size_t)len);
    return MCORE_EINVAL;
}

mcore_status mcore__transport_no_options(const mcore_host *host, const mcore_header *options,
                                         uint32_t option_count) {
    return option_count ? mcore__transport_unknown_option(host, options) : MCORE_OK;
}
