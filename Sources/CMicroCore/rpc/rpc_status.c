#include "mcore/server.h"

/* The mapping of google.rpc.Code, with 499 for a caller that went away. */
uint32_t mcore_rpc_http_status(uint32_t rpc_code) {
    static const uint16_t statuses[] = {
        [MCORE_RPC_OK] = 200,
        [MCORE_RPC_CANCELLED] = 499,
        [MCORE_RPC_UNKNOWN] = 500,
        [MCORE_RPC_INVALID_ARGUMENT] = 400,
        [MCORE_RPC_DEADLINE_EXCEEDED] = 504,
        [MCORE_RPC_NOT_FOUND] = 404,
        [MCORE_RPC_ALREADY_EXISTS] = 409,
        [MCORE_RPC_PERMISSION_DENIED] = 403,
        [MCORE_RPC_RESOURCE_EXHAUSTED] = 429,
        [MCORE_RPC_FAILED_PRECONDITION] = 400,
        [MCORE_RPC_ABORTED] = 409,
        [MCORE_RPC_OUT_OF_RANGE] = 400,
        [MCORE_RPC_UNIMPLEMENTED] = 501,
        [MCORE_RPC_INTERNAL] = 500,
        [MCORE_RPC_UNAVAILABLE] = 503,
        [MCORE_RPC_DATA_LOSS] = 500,
        [MCORE_RPC_UNAUTHENTICATED] = 401,
    };
    return rpc_code < sizeof statuses / sizeof *statuses ? statuses[rpc_code] : 500;
}
