/* What the built-in transports share. */
#ifndef MCORE_NET_TRANSPORT_H
#define MCORE_NET_TRANSPORT_H

#include "mcore/transport.h"

/* For a transport that has nothing to configure: saying so is better than ignoring it.
 * Errors: MCORE_EINVAL, and the log names the option. */
mcore_status mcore__transport_no_options(const mcore_host *host, const mcore_header *options,
                                         uint32_t option_count);
/* Logs that the option is not known. Returns MCORE_EINVAL. */
mcore_status mcore__transport_unknown_option(const mcore_host *host, const mcore_header *option);

/* What peer_name of a table does with a name. Errors: MCORE_ELIMIT, and *inout_len is its length.
 */
mcore_status mcore__transport_copy_name(const char *name, size_t len, char *out, size_t *inout_len);

/* Whether it is one of our tables that are made at run time. */
int mcore__transport_is_tls(const mcore_transport_plugin *plugin);
int mcore__transport_is_faulty(const mcore_transport_plugin *plugin);
int mcore__transport_is_network(const mcore_transport_plugin *plugin);

#endif
