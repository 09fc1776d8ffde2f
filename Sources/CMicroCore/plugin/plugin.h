/* What loading a plugin from a file and taking one that is linked in have in common. */
#ifndef MCORE_PLUGIN_PLUGIN_H
#define MCORE_PLUGIN_PLUGIN_H

#include "mcore/transport.h"

enum { MCORE__PLUGIN_NAME_MAX = 31 };

/* Whether a table can be used. MCORE_EPLUGIN: `detail` says what is wrong with it. */
mcore_status mcore__plugin_check(const mcore_transport_plugin *plugin, char *detail, size_t size);

/* All fields, those that the caller does not know yet as 0. */
mcore_transport_load_options mcore__plugin_options(const mcore_transport_load_options *options);

/* ---- file.c: what a file is, before its code runs. Errors: with one line in `detail`. ---- */

/* Whether nobody but this user and root can change what is there. Errors: MCORE_ENOENT,
 * MCORE_EACCES, MCORE_EIO. `path` is absolute and without links. */
mcore_status mcore__plugin_check_owner(const char *path, char *detail, size_t size);
/* Whether it is a shared object for this machine. Errors: MCORE_EINVAL, MCORE_EIO, and those of
 * opening a file. */
mcore_status mcore__plugin_check_format(const char *path, char *detail, size_t size);
/* Whether its SHA-256 is `hex`. Errors: MCORE_EINVAL (`hex`), MCORE_EACCES (it is another),
 * MCORE_EIO, MCORE_ENOMEM. */
mcore_status mcore__plugin_check_digest(const char *path, const char *hex, char *detail,
                                        size_t size);

#endif
