/* Where call objects come from, and what their ids mean.
 *
 * An id is a slot and the slot's generation. Objects of calls that have ended are kept, with their
 * buffers, for the next ones, up to a bound; slots are kept for ever. A slot whose generations are
 * used up is not used again. */
#include "rpc/client_internal.h"

#include "base/memory.h"
#include "rpc/client_hedge.h"
#include "rpc/client_stream.h"

#include <string.h>

#define SLOT_BITS 24u
#define SLOTS_MAX (UINT32_C(1) << SLOT_BITS)
#define GENERATIONS (UINT64_C(1) << (64 - SLOT_BITS))
#define SPARE_MAX 512u

/* ---- Ids ---- */

static mcore_status grow_slots(mcore_client *client) {
    uint32_t count = client->slot_count ? client->slot_count * 2 : 64;
    if (count > SLOTS_MAX) return MCORE_ENOMEM;
    mcore__client_slot *slots = mcore__realloc(client->slots, count * sizeof *slots);
    if (!slots) return MCORE_ENOMEM;
    for (uint32_t i = client->slot_count; i < count; i++) {
        slots[i] = (mcore__client_slot){NULL, 0, client->slot_free};
        client->slot_free = i;
    }
    client->slots = slots;
    client->slot_count = count;
    return MCORE_OK;
}

static mcore_status take_slot(mcore_client *client, mcore__client_call *call) {
    if (client->slot_free == MCORE__CLIENT_NO_SLOT && grow_slots(client) != MCORE_OK) {
        return MCORE_ENOMEM;
    }
    uint32_t index = client->slot_free;
    mcore__client_slot *slot = &client->slots[index];
    client->slot_free = slot->next_free;
    slot->generation++; /* from 1: no id is 0 */
    slot->call = call;
    call->id = slot->generation << SLOT_BITS | index;
    return MCORE_OK;
}

static void put_slot(mcore_client *client, uint64_t id) {
    uint32_t index = (uint32_t)(id & (SLOTS_MAX - 1));
    mcore__client_slot *slot = &client->slots[index];
    slot->call = NULL;
    if (slot->generation == GENERATIONS - 1) return;
    slot->next_free = client->slot_free;
    client->slot_free = index;
}

mcore__client_call *mcore__client_call_find(const mcore_client *client, uint64_t id) {
    uint32_t index = (uint32_t)(id & (SLOTS_MAX - 1));
    if (index >= client->slot_count) return NULL;
    mcore__client_call *call = client->slots[index].call;
    return call && call->id == id ? call : NULL;
}

void mcore__client_calls_swap_ids(mcore__client_call *a, mcore__client_call *b) {
    mcore__client_slot *slots = a->client->slots;
    uint64_t id = a->id;
    a->id = b->id;
    b->id = id;
    slots[a->id & (SLOTS_MAX - 1)].call = a;
    slots[b->id & (SLOTS_MAX - 1)].call = b;
}

/* ---- Objects ---- */

static mcore__client_call *new_call(mcore_client *client) {
    mcore__client_call *call = mcore__zalloc(sizeof *call);
    if (!call) return NULL;
    call->client = client;
    mcore__list_init(&call->all);
    mcore__list_init(&call->place);
    mcore__list_init(&call->sending);
    mcore__list_init(&call->borrowing);
    mcore__client_hedge_init(call);
    mcore__response_init(&call->response, client->options.message_bytes_max, client->coder);
    return call;
}

static void free_call(mcore__client_call *call) {
    mcore__client_request_free(&call->request);
    mcore__response_free(&call->response);
    mcore__buffer_free(&call->message);
    mcore__free(call);
}

static void put_object(mcore__client_call *call) {
    mcore_client *client = call->client;
    if (client->spare_count >= SPARE_MAX) {
        free_call(call);
        return;
    }
    mcore__list_append(&client->spare, &call->all);
    client->spare_count++;
}

mcore__client_call *mcore__client_call_take(mcore_client *client) {
    mcore__client_call *call;
    if (mcore__list_empty(&client->spare)) {
        call = new_call(client);
        if (!call) return NULL;
    } else { /* the one that was used last is the warmest */
        call = MCORE__CONTAINER(client->spare.prev, mcore__client_call, all);
        mcore__list_remove(&call->all);
        client->spare_count--;
    }
    if (take_slot(client, call) != MCORE_OK) {
        put_object(call);
        return NULL;
    }
    mcore__list_append(&client->live, &call->all);
    return call;
}

void mcore__client_call_put(mcore__client_call *call) {
    put_slot(call->client, call->id);
    mcore__list_remove(&call->all);
    if (call->stream) mcore__client_stream_free(call->stream);
    call->stream = NULL;
    mcore__client_request_reset(&call->request);
    mcore__response_reset(&call->response);
    mcore__buffer_reset(&call->message, MCORE__CLIENT_FAILURE_BYTES * 4);
    put_object(call);
}

void mcore__client_calls_free(mcore_client *client) {
    while (!mcore__list_empty(&client->spare)) {
        mcore__client_call *call = MCORE__CONTAINER(client->spare.next, mcore__client_call, all);
        mcore__list_remove(&call->all);
        free_call(call);
    }
    mcore__free(client->slots);
}
