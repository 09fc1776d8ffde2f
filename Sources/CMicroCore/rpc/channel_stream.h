/* The streams of a connection: which call each belongs to, and what arrives on it. What the two
 * files of a link have of each other. */
#ifndef MCORE_RPC_CHANNEL_STREAM_H
#define MCORE_RPC_CHANNEL_STREAM_H

#include "rpc/channel_link.h"

extern const mcore__h2_events mcore__link_h2_events;

/* channel_stream.c */

/* Waiting calls get streams, as many as there is room for. */
void mcore__link_pump(mcore__link *link);
int mcore__link_has_waiting(const mcore__link *link);
/* Which calls are in what was just handed to the transport. */
void mcore__link_note_written(mcore__link *link);
/* The bytes that were fed are about to go: bodies of calls that have not ended are copied. */
void mcore__link_keep_bodies(mcore__link *link);
/* Calls that may be tried again on another node go there; the others stay. */
void mcore__link_leave_streams(mcore__link *link, const char *text);
/* The connection is gone. */
void mcore__link_fail_streams(mcore__link *link, mcore_status why, const char *text);

/* channel_link.c */

void mcore__link_become_ready(mcore__link *link);
void mcore__link_close_if_done(mcore__link *link);
/* A call begins to wait: for how long the node is silent is watched. */
void mcore__link_watch(mcore__link *link);

#endif
