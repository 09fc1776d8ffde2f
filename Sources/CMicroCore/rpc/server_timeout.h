/* The "micro-timeout" header of plain HTTP requests. Pure. */
#ifndef MCORE_RPC_SERVER_TIMEOUT_H
#define MCORE_RPC_SERVER_TIMEOUT_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stdint.h>

/* Digits alone are milliseconds; else one or more decimal numbers with a unit, as Go writes
 * durations: "1.5s", "200ms", "1m30s". Units: ns us ms s m h. A value beyond UINT64_MAX ns is
 * UINT64_MAX. MCORE_EPROTO when it is anything else. */
mcore_status mcore__micro_timeout_parse(mcore_slice text, uint64_t *out_ns);

#endif
