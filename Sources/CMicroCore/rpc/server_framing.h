/* How the replies of a stream are separated on plain HTTP (MCORE_FRAMING_*). Pure. */
#ifndef MCORE_RPC_SERVER_FRAMING_H
#define MCORE_RPC_SERVER_FRAMING_H

#include "base/buffer.h"
#include "mcore/server.h"

/* Appends one reply. Errors: MCORE_ENOMEM; `out` may hold a part of it then. */
mcore_status mcore__framing_write(mcore__buffer *out, uint32_t framing, mcore_slice message);

/* Appends the event that ends a stream of events which failed: an "error" with the answer's body,
 * or a problem+json document. Errors: MCORE_ENOMEM; `out` may hold a part of it then. */
mcore_status mcore__framing_write_error(mcore__buffer *out, const mcore_answer *answer);

#endif
