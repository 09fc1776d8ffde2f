/* Small numbers for the header names that the core itself reads, so that they are compared once. */
#ifndef MCORE_FRAME_HEADER_TOKEN_H
#define MCORE_FRAME_HEADER_TOKEN_H

#include "mcore/slice.h"

#include <stdint.h>

#define MCORE__HEADER_MAP(X)                                                                       \
    X(AUTHORITY, ":authority")                                                                     \
    X(METHOD, ":method")                                                                           \
    X(PATH, ":path")                                                                               \
    X(SCHEME, ":scheme")                                                                           \
    X(STATUS, ":status")                                                                           \
    X(ACCEPT, "accept")                                                                            \
    X(ACCEPT_ENCODING, "accept-encoding")                                                          \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_ENCODING, "content-encoding")                                                        \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(DATE, "date")                                                                                \
    X(EXPECT, "expect")                                                                            \
    X(GRPC_ACCEPT_ENCODING, "grpc-accept-encoding")                                                \
    X(GRPC_ENCODING, "grpc-encoding")                                                              \
    X(GRPC_MESSAGE, "grpc-message")                                                                \
    X(GRPC_STATUS, "grpc-status")                                                                  \
    X(GRPC_STATUS_DETAILS, "grpc-status-details-bin")                                              \
    X(GRPC_TIMEOUT, "grpc-timeout")                                                                \
    X(HOST, "host")                                                                                \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(MICRO_TIMEOUT, "micro-timeout")                                                              \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(SERVER, "server")                                                                            \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(UPGRADE, "upgrade")

#define MCORE__HEADER_ENUM(name, text) MCORE__HEADER_##name,
typedef enum mcore__header_token {
    MCORE__HEADER_OTHER = 0,
    MCORE__HEADER_MAP(MCORE__HEADER_ENUM) MCORE__HEADER_TOKENS
} mcore__header_token;
#undef MCORE__HEADER_ENUM

static inline int mcore__header_is_pseudo(mcore__header_token token) {
    return token >= MCORE__HEADER_AUTHORITY && token <= MCORE__HEADER_STATUS;
}

/* `name` is lower case. */
mcore__header_token mcore__header_token_of(const char *name, size_t len);

/* One field as the protocol engines hand it out and take it. */
typedef struct mcore__field {
    mcore__header_token token;
    mcore_slice name, value;
} mcore__field;

/* Marks on the token of a field that goes out: its name and value are valid, and the token is that
 * of the name; for a constant the bytes of the value live as long as the program, too. */
enum { MCORE__FIELD_CHECKED = 0x100, MCORE__FIELD_CONSTANT = 0x300, MCORE__FIELD_TOKEN = 0xff };

/* 1 when the bytes are a valid field name (RFC 9110 5.6.2 token, lower case) or value (no CR, LF,
 * NUL, no space or tab at either end). */
int mcore__field_name_valid(mcore_slice name);
int mcore__field_value_valid(mcore_slice value);

#endif
