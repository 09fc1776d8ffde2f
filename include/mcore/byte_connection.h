/* A client's connection of bytes over any transport, for protocols that are spoken elsewhere.
 *
 *     mcore_byte_connection_open(loop, mcore_transport_tcp(), "127.0.0.1:6379", NULL, &events,
 * ...); mcore_byte_connection_send(connection, &bytes, 1); mcore_byte_connection_close(connection,
 * 0);
 *
 * Thread: the loop's, for all of it.
 * Order:  no callback ever runs inside a function of this header.
 * Ends:   every connection that was handed out gets exactly one on_closed, and neither it nor its
 *         ctx is used afterwards.
 *
 * Bytes that are sent are copied, wait until the end of the turn, and go out together. */
#ifndef MCORE_BYTE_CONNECTION_H
#define MCORE_BYTE_CONNECTION_H

#include "mcore/loop.h"
#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport_plugin.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_byte_connection mcore_byte_connection;

typedef struct mcore_byte_options {
    uint32_t struct_size;
    uint32_t unsent_bytes_max;   /* when so much waits, send() takes no more; 64 KiB */
    uint64_t connect_timeout_ms; /* with the handshake of TLS; 5,000 */
    uint64_t close_timeout_ms;   /* within it the peer has to take what was sent before close(0);
                                  * 10,000 */
} mcore_byte_options;

void mcore_byte_options_default(mcore_byte_options *out_options);

/* Implemented by the user; outlives its connections. */
typedef struct mcore_byte_events {
    uint32_t struct_size, reserved;
    void (*on_open)(void *ctx, mcore_byte_connection *connection);
    /* n slices, none of them empty; borrowed during the call. */
    void (*on_data)(void *ctx, mcore_byte_connection *connection, const mcore_slice *v, uint32_t n);
    /* The peer sends no more. `truncated` 1: TLS says that the end was not meant to be one. The
     * connection stays until close(). */
    void (*on_end)(void *ctx, mcore_byte_connection *connection, uint32_t truncated);
    /* A send was told MCORE_EBUSY, and would not be any more. */
    void (*on_writable)(void *ctx, mcore_byte_connection *connection);
    /* The last. `why`: MCORE_OK when all was delivered after close(0); MCORE_ECLOSED after
     * close(1); MCORE_ECANCELED after either, before it was open; MCORE_ETIMEDOUT; else as the
     * transport says. `text` is one line, 0-terminated. */
    void (*on_closed)(void *ctx, mcore_byte_connection *connection, mcore_status why,
                      const char *text);
} mcore_byte_events;

/* Connects. on_open follows within the timeout, or on_closed. `options` may be NULL; `transport`
 * stays until on_closed has returned and the loop has turned once more.
 * Errors: MCORE_EINVAL (an option), MCORE_ENOMEM, and those of the transport's create() and
 * connect(). */
mcore_status mcore_byte_connection_open(mcore_loop *loop, const mcore_transport_plugin *transport,
                                        const char *address, const mcore_byte_options *options,
                                        const mcore_byte_events *events, void *ctx,
                                        mcore_byte_connection **out_connection);

/* Queues n slices, also before on_open; on an error nothing was. One call is taken whole, however
 * long it is.
 * Errors: MCORE_EBUSY (unsent_bytes_max; on_writable follows), MCORE_ECLOSED (close() was called,
 * or it has ended), MCORE_ENOMEM. */
mcore_status mcore_byte_connection_send(mcore_byte_connection *connection, const mcore_slice *v,
                                        uint32_t n);
/* Connections start with reading on. While it is off on_data and on_end are not called, and the
 * peer is stopped. Errors: MCORE_ECLOSED. */
mcore_status mcore_byte_connection_set_reading(mcore_byte_connection *connection, uint32_t enabled);
/* abort 0: what was sent is delivered first, then it ends. abort 1: it ends now. No on_data comes
 * after either. Idempotent, but 1 may follow 0. */
void mcore_byte_connection_close(mcore_byte_connection *connection, uint32_t abort);

/* Bytes that were sent and not taken by the transport. */
size_t mcore_byte_connection_unsent(const mcore_byte_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
