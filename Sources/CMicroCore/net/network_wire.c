/* The two directions of a connection in a simulated network: bytes on their way. */
#include "net/network.h"

#include "base/memory.h"

#include <string.h>

/* ---- Life ---- */

static void free_flow(mcore__flow *flow) {
    for (mcore__piece *piece = flow->first, *next; piece; piece = next) {
        next = piece->next;
        mcore__free(piece);
    }
    flow->first = flow->last = NULL;
    flow->bytes = 0;
}

static mcore_network *network_of(const mcore__wire *wire) { return wire->machines[0]->network; }

mcore__wire *mcore__wire_new(mcore_conn *client, mcore__machine *from, mcore__machine *to) {
    mcore__wire *wire = mcore__zalloc(sizeof *wire);
    if (!wire) return NULL;
    wire->ends[MCORE__CLIENT] = client;
    wire->machines[MCORE__CLIENT] = from;
    wire->machines[MCORE__SERVER] = to;
    wire->client_port = mcore__network_port(from);
    mcore__list_init(&wire->in_backlog);
    mcore__list_append(&network_of(wire)->wires, &wire->node);
    network_of(wire)->wire_count++;
    return wire;
}

void mcore__wire_release(mcore__wire *wire) {
    if (wire->ends[0] || wire->ends[1] || wire->listener) return;
    mcore__list_remove(&wire->node);
    network_of(wire)->wire_count--;
    free_flow(&wire->flows[0]);
    free_flow(&wire->flows[1]);
    mcore__free(wire);
}

void mcore__wire_wake(mcore__wire *wire, int side) {
    mcore_conn *conn = wire->ends[side];
    if (conn) mcore__network_conn_wake(conn);
}

static uint64_t now_of(const mcore__wire *wire, int side) {
    return mcore_loop_now_ns(mcore__network_loop_of(wire->ends[side]));
}

/* ---- Sending ---- */

/* When what `side` sends now is there: never before what it sent last. */
static uint64_t due_ns(mcore__wire *wire, int side) {
    mcore__flow *flow = &wire->flows[!side];
    uint64_t due =
        now_of(wire, side) + mcore__network_delay(wire->machines[side], wire->machines[!side]);
    if (due < flow->last_due_ns) due = flow->last_due_ns;
    return flow->last_due_ns = due;
}

/* Bytes for an end that is gone are answered with a reset. */
static int is_gone(const mcore__wire *wire, int side) {
    return !wire->ends[side] && !wire->listener;
}

static void note(mcore__wire *wire, int side, uint64_t due, const char *bytes, size_t len) {
    const uint64_t facts[] = {due, wire->machines[side]->index, wire->machines[!side]->index,
                              wire->client_port, len};
    mcore__network_note(network_of(wire), facts, sizeof facts);
    mcore__network_note(network_of(wire), bytes, len);
    network_of(wire)->pieces++;
}

mcore_status mcore__wire_send(mcore__wire *wire, int side, const char *bytes, size_t len) {
    if (is_gone(wire, !side)) {
        mcore__flow *back = &wire->flows[side];
        if (!back->reset_ns) {
            back->reset_ns = due_ns(wire, side) +
                             mcore__network_delay(wire->machines[!side], wire->machines[side]);
            mcore__wire_wake(wire, side);
        }
        return MCORE_OK;
    }
    mcore__piece *piece = mcore__alloc(sizeof *piece + len);
    if (!piece) return MCORE_ENOMEM;
    piece->next = NULL;
    piece->due_ns = due_ns(wire, side);
    piece->len = len;
    memcpy(piece->bytes, bytes, len);
    mcore__flow *flow = &wire->flows[!side];
    if (flow->first)
        flow->last->next = piece;
    else
        flow->first = piece;
    flow->last = piece;
    flow->bytes += len;
    note(wire, side, piece->due_ns, bytes, len);
    mcore__wire_wake(wire, !side);
    return MCORE_OK;
}

void mcore__wire_send_end(mcore__wire *wire, int side) {
    wire->flows[!side].end_ns = due_ns(wire, side);
    note(wire, side, wire->flows[!side].end_ns, NULL, 0);
    mcore__wire_wake(wire, !side);
}

void mcore__wire_send_reset(mcore__wire *wire, int side) {
    mcore__flow *flow = &wire->flows[!side];
    if (flow->reset_ns) return;
    flow->reset_ns = due_ns(wire, side);
    note(wire, side, flow->reset_ns, "reset", 5);
    mcore__wire_wake(wire, !side);
}

/* ---- Receiving ---- */

int mcore__wire_arrived(const mcore__wire *wire, int side, uint64_t due, uint64_t *out_ns) {
    *out_ns = 0;
    if (wire->lost || mcore__network_link(wire->machines[!side], wire->machines[side])->down)
        return 0;
    uint64_t not_before_ns = wire->flows[side].not_before_ns;
    if (due < not_before_ns) due = not_before_ns;
    if (due <= now_of(wire, side)) return 1;
    *out_ns = due;
    return 0;
}

mcore__piece *mcore__wire_take(mcore__wire *wire, int side) {
    mcore__flow *flow = &wire->flows[side];
    mcore__piece *piece = flow->first;
    flow->first = piece->next;
    flow->bytes -= piece->len;
    mcore__wire_wake(wire, !side); /* there is room again */
    return piece;
}

void mcore__wire_drop_bytes(mcore__wire *wire, int side) {
    free_flow(&wire->flows[side]);
    mcore__wire_wake(wire, !side);
}
