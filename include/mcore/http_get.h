/* One GET of HTTP/1.1 over a connection of its own, for small documents: lists of nodes, keys.
 *
 * It follows no redirects, and asks for no compression. Thread: the loop's.
 * Order:  `done` never runs inside a function of this header. */
#ifndef MCORE_HTTP_GET_H
#define MCORE_HTTP_GET_H

#include "mcore/loop.h"
#include "mcore/slice.h"
#include "mcore/status.h"
#include "mcore/transport_plugin.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_http_get mcore_http_get;

typedef struct mcore_http_request {
    uint32_t struct_size;
    uint32_t body_bytes_max; /* of the answer, decoded */
    uint64_t timeout_ms;     /* for all of it; not 0 */
    const char *address;     /* for the transport: "10.0.0.1:8080" */
    mcore_slice host;        /* of the field "host" */
    mcore_slice target;      /* "/nodes?name=x", with what it has to have escaped */
    mcore_slice etag;        /* what is known already, as the server has named it; may be empty */
} mcore_http_request;

typedef struct mcore_http_answer {
    uint32_t struct_size;
    uint32_t status;  /* 200, 304, 404, ... */
    mcore_slice etag; /* may be empty */
    mcore_slice body;
} mcore_http_answer;

/* MCORE_OK: `answer` is there, and borrowed during the call. Otherwise it is NULL, and `text` is
 * one line: MCORE_ETIMEDOUT, MCORE_ELIMIT (its size), MCORE_EPROTO (that is no HTTP, or it was cut
 * off), MCORE_ECANCELED, or as the transport says. The last use of ctx and of the object. */
typedef void (*mcore_http_get_done)(void *ctx, mcore_status status, const mcore_http_answer *answer,
                                    const char *text);

/* Begins. `request` is copied; `transport` stays until `done`.
 * Errors: MCORE_EINVAL (the request), MCORE_ENOMEM, and those of the transport's create() and
 * connect(). */
mcore_status mcore_http_get_start(mcore_loop *loop, const mcore_transport_plugin *transport,
                                  const mcore_http_request *request, mcore_http_get_done done,
                                  void *ctx, mcore_http_get **out_get);
/* `done` follows, with MCORE_ECANCELED if nothing was known yet. Idempotent. */
void mcore_http_get_cancel(mcore_http_get *get);

#ifdef __cplusplus
}
#endif

#endif
