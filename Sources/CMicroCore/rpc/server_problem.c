#include "base/utf8.h"
#include "frame/http1.h"
#include "rpc/server_answer.h"

#include <stdio.h>
#include <string.h>

static mcore_status append_escaped(mcore__buffer *out, const uint8_t *at) {
    char text[8];
    switch (*at) {
    case '"':
        return mcore__buffer_append(out, "\\\"", 2);
    case '\\':
        return mcore__buffer_append(out, "\\\\", 2);
    case '\n':
        return mcore__buffer_append(out, "\\n", 2);
    case '\r':
        return mcore__buffer_append(out, "\\r", 2);
    case '\t':
        return mcore__buffer_append(out, "\\t", 2);
    default:
        break;
    }
    int len = snprintf(text, sizeof text, "\\u%04x", *at);
    return mcore__buffer_append(out, text, (size_t)len);
}

/* Runs that need no escape are appended at once. */
static mcore_status append_json_text(mcore__buffer *out, mcore_slice text) {
    const uint8_t *at = text.data, *end = at + text.len, *run = at;
    while (at < end) {
        size_t len = *at < 0x80 ? 1 : mcore__utf8_sequence(at, (size_t)(end - at));
        int plain =
            len > 1 || (len == 1 && *at >= 0x20 && *at != '"' && *at != '\\' && *at != 0x7F);
        if (plain) {
            at += len;
            continue;
        }
        mcore_status status = MCORE_OK;
        if (at > run) status = mcore__buffer_append(out, run, (size_t)(at - run));
        if (!status)
            status = len ? append_escaped(out, at) : mcore__buffer_append(out, "\xEF\xBF\xBD", 3);
        if (status) return status;
        run = ++at;
    }
    return at > run ? mcore__buffer_append(out, run, (size_t)(at - run)) : MCORE_OK;
}

mcore_status mcore__problem_write(mcore__buffer *out, uint32_t status, mcore_slice detail) {
    char head[128];
    const char *reason = mcore__http_reason(status);
    if (!*reason) reason = status == 499 ? "Client Closed Request" : "Error";
    int len = snprintf(head, sizeof head,
                       "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"",
                       reason, status);
    mcore_status result = mcore__buffer_append(out, head, (size_t)len);
    if (!result) result = append_json_text(out, detail);
    return result ? result : mcore__buffer_append(out, "\"}", 2);
}
