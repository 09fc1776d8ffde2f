#include "base/memory.h"
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mcore__tls_say(char *detail, size_t size, const char *format, ...) {
    if (!detail || !size) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, size, format, arguments);
    va_end(arguments);
}

const char *mcore__tls_reason(void) {
    unsigned long error = ERR_get_error();
    ERR_clear_error();
    const char *reason = error ? ERR_reason_error_string(error) : NULL;
    return reason ? reason : "not accepted by OpenSSL";
}

char *mcore__tls_complain(mcore__tls_session *session, size_t *out_size) {
    *out_size = 0;
    if (session->failure) return NULL;
    session->failure = mcore__alloc(MCORE__TLS_DETAIL_BYTES);
    if (!session->failure) return NULL;
    *out_size = MCORE__TLS_DETAIL_BYTES;
    return session->failure;
}

typedef struct explanation {
    int reason;
    const char *text;
} explanation;

/* What is worth saying better than OpenSSL does. */
static const explanation explanations[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "the client sent no certificate"},
    {SSL_R_WRONG_VERSION_NUMBER, "the peer does not speak TLS"},
    {SSL_R_HTTP_REQUEST, "the peer does not speak TLS, it sent plain HTTP"},
    {SSL_R_HTTPS_PROXY_REQUEST, "the peer does not speak TLS, it sent plain HTTP"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "no TLS version in common"},
    {SSL_R_VERSION_TOO_LOW, "no TLS version in common"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "no TLS version in common, says the peer"},
    {SSL_R_NO_SHARED_CIPHER, "no cipher in common"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "nothing in common (cipher, group), says the peer"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no application protocol in common (ALPN)"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL,
     "no application protocol in common (ALPN), says the peer"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "the peer wants a certificate of ours"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "the peer does not know who issued our certificate"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "our certificate has expired, says the peer"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the peer refused our certificate"},
    {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
     "the peer refused our certificate: it is not for this use"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the peer refused our certificate"},
};

static const char *text_of(unsigned long error) {
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) return NULL;
    for (size_t i = 0; i < sizeof explanations / sizeof explanations[0]; i++)
        if (explanations[i].reason == ERR_GET_REASON(error)) return explanations[i].text;
    return NULL;
}

void mcore__tls_explain(mcore__tls_session *session) {
    unsigned long error = ERR_peek_error();
    size_t size;
    char *out = error ? mcore__tls_complain(session, &size) : NULL;
    if (out) {
        const char *text = text_of(error);
        if (!text) text = ERR_reason_error_string(error);
        mcore__tls_say(out, size, "%s", text ? text : "not accepted by OpenSSL");
    }
    ERR_clear_error();
}
