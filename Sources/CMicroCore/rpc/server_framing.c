#include "rpc/server_framing.h"

#include "rpc/server_answer.h"

#include <string.h>

/* Appends `text` with `between` in place of each end of a line: CR, LF or CRLF. */
static mcore_status append_lines(mcore__buffer *out, mcore_slice text, const char *between) {
    const char *at = text.data, *end = at + text.len, *begin = at;
    mcore_status status = MCORE_OK;
    for (; at < end && !status; at++) {
        if (*at != '\n' && *at != '\r') continue;
        status = mcore__buffer_append(out, begin, (size_t)(at - begin));
        if (!status) status = mcore__buffer_append_text(out, between);
        if (*at == '\r' && at + 1 < end && at[1] == '\n') at++;
        begin = at + 1;
    }
    return status ? status : mcore__buffer_append(out, begin, (size_t)(end - begin));
}

static mcore_status write_event(mcore__buffer *out, mcore_slice text) {
    mcore_status status = mcore__buffer_append_text(out, "data: ");
    if (!status) status = append_lines(out, text, "\ndata: ");
    return status ? status : mcore__buffer_append_text(out, "\n\n");
}

mcore_status mcore__framing_write(mcore__buffer *out, uint32_t framing, mcore_slice message) {
    mcore_status status;
    switch (framing) {
    case MCORE_FRAMING_LINES:
        /* Between the tokens of JSON, which is where it may have one, a newline means a space. */
        status = append_lines(out, message, " ");
        return status ? status : mcore__buffer_append(out, "\n", 1);
    case MCORE_FRAMING_EVENTS:
        return write_event(out, message);
    default:
        return mcore__buffer_append(out, message.data, message.len);
    }
}

mcore_status mcore__framing_write_error(mcore__buffer *out, const mcore_answer *answer) {
    mcore_status status = mcore__buffer_append_text(out, "event: error\n");
    if (status || answer->body.len) return status ? status : write_event(out, answer->body);
    uint32_t http =
        answer->http_status ? answer->http_status : mcore_rpc_http_status(answer->rpc_code);
    /* The core's own document is one line. */
    status = mcore__buffer_append_text(out, "data: ");
    if (!status) status = mcore__problem_write(out, http, answer->message);
    return status ? status : mcore__buffer_append_text(out, "\n\n");
}
