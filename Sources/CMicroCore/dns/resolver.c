#include "dns/resolver.h"

#include "base/memory.h"
#include "base/sized.h"
#include "loop/ip.h"
#include "mcore/hash.h"
#include "mcore/transport.h"

#include <string.h>

enum { CACHE_ENTRIES_LIMIT = 1 << 20, QUERIES_LIMIT = 1 << 20, EXCHANGES_LIMIT = 4096 };

void mcore_dns_options_default(mcore_dns_options *out_options) {
    *out_options = (mcore_dns_options){
        .struct_size = sizeof *out_options,
        .addresses_max = 64,
        .cache_entries_max = 1000,
        .queries_max = 10000,
        .exchanges_max = 128,
        .ttl_min_s = 1,
        .ttl_max_s = 3600,
        .negative_ttl_max_s = 300,
        .stale_max_s = 86400,
    };
}

static mcore_status read_options(const mcore_dns_options *from, mcore_dns_options *out) {
    mcore_dns_options_default(out);
    mcore_status status = mcore__sized_take(out, from, sizeof *out);
    if (status != MCORE_OK) return status;
    int good = out->addresses_max && out->addresses_max <= MCORE__DNS_ADDRESSES_LIMIT &&
               out->cache_entries_max && out->cache_entries_max <= CACHE_ENTRIES_LIMIT &&
               out->queries_max && out->queries_max <= QUERIES_LIMIT && out->exchanges_max &&
               out->exchanges_max <= EXCHANGES_LIMIT && out->rotate <= 1 &&
               out->ttl_min_s <= out->ttl_max_s && out->attempts <= 100 && out->ndots <= 127 &&
               out->timeout_ms <= 3600000;
    return good ? MCORE_OK : MCORE_EINVAL;
}

uint64_t mcore__dns_random(mcore_dns *dns) {
    dns->counter++;
    return mcore_siphash24(&dns->counter, sizeof dns->counter, dns->secret[0], dns->secret[1]);
}

/* ---- Life ---- */

static void dispose(mcore_dns *dns) {
    mcore__dns_cache_free(dns);
    mcore__dns_files_free(dns);
    if (dns->streams) dns->transport->destroy(dns->streams);
    mcore__free(dns);
}

static void on_later(void *arg) {
    mcore_dns *dns = arg;
    void (*done)(void *ctx) = dns->done;
    void *ctx = dns->done_ctx;
    dispose(dns);
    if (done) done(ctx);
}

mcore_status mcore_dns_create(mcore_loop *loop, const mcore_dns_options *options,
                              mcore_dns **out_dns) {
    mcore_dns *dns = mcore__zalloc(sizeof *dns);
    if (!dns) return MCORE_ENOMEM;
    dns->loop = loop;
    mcore__later_init(&dns->later, on_later, dns);
    mcore__list_init(&dns->lru);
    mcore__list_init(&dns->queries);
    mcore__list_init(&dns->waiting);
    mcore__list_init(&dns->stream_list);
    dns->secret[0] = mcore_loop_random(loop);
    dns->secret[1] = mcore_loop_random(loop);
    uint64_t key0 = mcore_loop_random(loop);
    mcore__table_init(&dns->entries, key0, mcore_loop_random(loop));
    mcore_status status = read_options(options, &dns->options);
    if (status == MCORE_OK) status = mcore__dns_files_init(dns, &dns->options);
    if (status < 0) {
        dispose(dns);
        return status;
    }
    dns->transport = dns->options.streams;
    if (!dns->transport)
        dns->transport = mcore__loop_uv(loop) ? mcore_transport_tcp() : mcore_transport_memory();
    *out_dns = dns;
    return MCORE_OK;
}

/* Without those who ask, no question is left, and with those no stream that is not about to end. */
void mcore__dns_check_closed(mcore_dns *dns) {
    if (dns->closing && mcore__list_empty(&dns->queries) && mcore__list_empty(&dns->stream_list))
        mcore__later_mark(dns->loop, &dns->later);
}

void mcore_dns_close(mcore_dns *dns, void (*done)(void *ctx), void *ctx) {
    if (!dns || dns->closing) return;
    dns->closing = 1;
    dns->done = done;
    dns->done_ctx = ctx;
    mcore__dns_queries_cancel(dns);
    mcore__dns_cache_stop(dns);
    mcore__dns_check_closed(dns);
}

/* ---- The one of a loop ---- */

static void end_of_loop(void *value) { mcore_dns_close(value, NULL, NULL); }

mcore_status mcore_dns_of_loop(mcore_loop *loop, const mcore_dns_options *options,
                               mcore_dns **out_dns) {
    mcore_dns *dns = mcore__loop_slot(loop, MCORE__LOOP_SLOT_DNS);
    if (dns && options) return MCORE_EEXIST;
    if (!dns) {
        mcore_status status = mcore_dns_create(loop, options, &dns);
        if (status < 0) return status;
        mcore__loop_set_slot(loop, MCORE__LOOP_SLOT_DNS, dns, NULL);
        mcore__loop_set_slot_end(loop, MCORE__LOOP_SLOT_DNS, end_of_loop);
    }
    *out_dns = dns;
    return MCORE_OK;
}

/* ---- Addresses ---- */

size_t mcore_dns_address_text(const mcore_dns_address *address, uint16_t port,
                              char out[MCORE_DNS_ADDRESS_TEXT]) {
    mcore__ip ip = mcore__ip_of_bytes(address->version == 4 ? 4 : 6, address->bytes, port);
    ip.scope = address->scope;
    return mcore__ip_format(&ip, out);
}
