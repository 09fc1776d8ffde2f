/* Certificates: an authority of one's own, and what it signs. Keys are on the curve P-256,
 * signatures are ECDSA with SHA-256; all text is PEM.
 *
 * Thread: any. Pure but for the clock and random numbers. */
#ifndef MCORE_CERTIFICATE_H
#define MCORE_CERTIFICATE_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MCORE_CERTIFICATE_SERVER = 1, /* may be a server */
    MCORE_CERTIFICATE_CLIENT = 2  /* may be a client */
};

typedef struct mcore_certificate_plan {
    uint32_t struct_size;
    uint32_t is_authority;    /* 1: it may sign others, and do nothing else */
    uint32_t path_length;     /* of an authority: how many others may stand below it in a chain */
    uint32_t usages;          /* of any other: MCORE_CERTIFICATE_* */
    uint64_t lifetime_s;      /* from now on, and not beyond its issuer's; it is valid from a minute
                               * ago, for clocks that are behind */
    mcore_slice common_name;  /* 1 to 64 bytes */
    const mcore_slice *names; /* alternative names, at most 64: "10.0.0.7" is an IP address,
                               * "spiffe://..." a URI, all else a DNS name */
    uint32_t name_count;      /* 0 with `request`: the names that it asks for */
    uint32_t reserved;
    mcore_slice issuer_certificate, issuer_key; /* empty: it signs itself */
    mcore_slice request; /* a signing request: its key is certified; empty: a new key is made */
} mcore_certificate_plan;

/* Texts that a function makes: 0-terminated, ended by mcore_certificate_free. */
typedef struct mcore_certificate {
    uint32_t struct_size, reserved;
    char *text; /* the certificate, or the request */
    char *key;  /* its private key; NULL when that is not ours */
} mcore_certificate;

/* Makes a certificate. On an error the reason is written to `detail` in one line.
 * Errors: MCORE_EINVAL (the plan), MCORE_ETLS (the issuer may not sign this, its key is not its
 * own, or the request is not signed by its key), MCORE_ENOMEM. */
mcore_status mcore_certificate_issue(const mcore_certificate_plan *plan,
                                     mcore_certificate *out_certificate, char *detail,
                                     size_t detail_size);

/* Makes a key and a request to sign it, with the common name and the alternative names of `plan`;
 * nothing else of it is looked at. Errors: MCORE_EINVAL, MCORE_ENOMEM. */
mcore_status mcore_certificate_request(const mcore_certificate_plan *plan,
                                       mcore_certificate *out_request, char *detail,
                                       size_t detail_size);

void mcore_certificate_free(mcore_certificate *certificate);

/* Until when the first certificate of a PEM text is valid, in seconds since 1970.
 * Errors: MCORE_EINVAL (there is none), MCORE_ENOMEM. */
mcore_status mcore_certificate_expiry(mcore_slice text, int64_t *out_seconds);

#ifdef __cplusplus
}
#endif

#endif
