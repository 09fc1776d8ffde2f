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

static void refuse(mcore__server_conn *conn) {
    mcore__count(&conn->server->protocol_errors, 1);
    mcore__conn_abort(conn);
}

/* What was agreed on by ALPN, or nothing. */
static mcore_slice agreed_protocol(const mcore__server_conn *conn) {
    mcore_security security = {.struct_size = sizeof security};
    mcore_status status = mcore__conn_security(conn, &security);
    return status == MCORE_OK ? security.protocol : (mcore_slice){NULL, 0};
}

/* A client that has agreed on one protocol and speaks another is not to be trusted with either. */
static int keeps_its_word(const mcore__server_conn *conn, int is_http2) {
    mcore_slice agreed = agreed_protocol(conn);
    return agreed.len == 0 || is_http2 == (agreed.len == 2 && memcmp(agreed.data, "h2", 2) == 0);
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
    /* The beginning of a TLS handshake, which would wait for an answer for long. */
    if ((!known && data[0] == 0x16) || !keeps_its_word(conn, same)) {
        refuse(conn);
        return;
    }
    if (!open_protocol(conn, same ? &mcore__server_h2 : &mcore__server_h1)) return;
    if (known) conn->protocol->feed(conn, (const uint8_t *)conn->preface, known);
    if (conn->state == MCORE__CONN_OPEN) conn->protocol->feed(conn, data, len);
}
