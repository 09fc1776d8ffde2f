#include "rpc/server_conn.h"

#include <string.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
_Static_assert(sizeof preface - 1 == MCORE__PREFACE_BYTES, "RFC 9113, 3.4");

static int open_protocol(mcore__server_conn *conn, const mcore__server_protocol *protocol) {
    conn->protocol = protocol;
    if (protocol->open(conn) == MCORE_OK) return 1;
    mcore__conn_abort(conn);
    return 0;
}

/* HTTP/2 is what begins with its preface; whatever else it is, HTTP/1.1's parser says what is
 * wrong with it. No request line of HTTP/1.1 begins like the preface: "PRI" is reserved. */
void mcore__conn_detect(mcore__server_conn *conn, const uint8_t *data, size_t len) {
    size_t known = conn->preface_len, compared = MCORE__PREFACE_BYTES - known;
    if (compared > len) compared = len;
    int same = memcmp(preface + known, data, compared) == 0;
    if (same && known + compared < MCORE__PREFACE_BYTES) {
        memcpy(conn->preface + known, data, compared);
        conn->preface_len = (uint8_t)(known + compared);
        return;
    }
    if (!open_protocol(conn, same ? &mcore__server_h2 : &mcore__server_h1)) return;
    if (known) conn->protocol->feed(conn, (const uint8_t *)conn->preface, known);
    if (conn->state == MCORE__CONN_OPEN) conn->protocol->feed(conn, data, len);
}
