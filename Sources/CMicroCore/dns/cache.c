/* What is known of each name and type. An entry asks once for all that wait, remembers for as long
 * as the servers say, and holds on to the last good answer when they can't be asked (RFC 8767). */
#include "base/memory.h"
#include "dns/resolver.h"

#include <stdio.h>
#include <string.h>

enum {
    FRESH_MS = 1000,       /* nothing younger is asked again, and no failure either */
    STALE_RETRY_MS = 5000, /* a server that failed is left alone so long when there is an answer */
    STALE_PATIENCE_MS = 1800 /* RFC 8767 5 */
};

static uint64_t now_of(const mcore_dns *dns) { return mcore_loop_now_ns(dns->loop); }

/* ---- Entries ---- */

static uint64_t hash_of(const mcore_dns *dns, const mcore__dns_name *lower) {
    return mcore__table_hash(&dns->entries, (mcore_slice){lower->bytes, lower->len});
}

static mcore__dns_entry *find(mcore_dns *dns, const mcore__dns_name *lower, uint16_t type) {
    mcore__table_entry *at = mcore__table_find(&dns->entries, hash_of(dns, lower));
    for (; at; at = mcore__table_next(at)) {
        mcore__dns_entry *entry = MCORE__CONTAINER(at, mcore__dns_entry, link);
        if (entry->type == type && mcore__dns_name_identical(&entry->name, lower)) return entry;
    }
    return NULL;
}

static void let_go(mcore__dns_data *data) {
    if (data && --data->holders == 0) mcore__dns_data_free(data);
}

static void forget(mcore__dns_entry *entry) {
    if (entry->exchange) mcore__dns_exchange_cancel(entry->exchange);
    mcore__timer_stop(entry->dns->loop, &entry->patience);
    mcore__table_remove(&entry->dns->entries, &entry->link);
    mcore__list_remove(&entry->lru);
    let_go(entry->data);
    mcore__free(entry);
}

void mcore__dns_cache_free(mcore_dns *dns) {
    while (!mcore__list_empty(&dns->lru))
        forget(MCORE__CONTAINER(dns->lru.next, mcore__dns_entry, lru));
    mcore__table_free(&dns->entries);
}

void mcore__dns_cache_stop(mcore_dns *dns) {
    for (mcore__list *node = dns->lru.next; node != &dns->lru; node = node->next) {
        mcore__dns_entry *entry = MCORE__CONTAINER(node, mcore__dns_entry, lru);
        if (entry->exchange) mcore__dns_exchange_cancel(entry->exchange);
        entry->exchange = NULL;
    }
}

static mcore_status make_room(mcore_dns *dns) {
    mcore__list *node = dns->lru.next;
    while (dns->entries.count >= dns->options.cache_entries_max && node != &dns->lru) {
        mcore__dns_entry *entry = MCORE__CONTAINER(node, mcore__dns_entry, lru);
        node = node->next;
        if (entry->users == 0 && !entry->exchange) forget(entry);
    }
    return dns->entries.count < dns->options.cache_entries_max ? MCORE_OK : MCORE_ELIMIT;
}

static void lose_patience(void *arg);

static mcore_status entry_of(mcore_dns *dns, const mcore__dns_name *name, uint16_t type,
                             mcore__dns_entry **out_entry) {
    mcore__dns_name lower = *name;
    mcore__dns_name_lower(&lower);
    *out_entry = find(dns, &lower, type);
    if (*out_entry) return MCORE_OK;
    mcore_status status = make_room(dns);
    if (status < 0) return status;
    mcore__dns_entry *entry = mcore__zalloc(sizeof *entry);
    if (!entry) return MCORE_ENOMEM;
    entry->dns = dns;
    entry->name = lower;
    entry->type = type;
    mcore__list_init(&entry->lru);
    mcore__list_init(&entry->waiters);
    mcore__timer_init(&entry->patience, lose_patience, entry);
    mcore__list_append(&dns->lru, &entry->lru);
    mcore__table_add(&dns->entries, &entry->link, hash_of(dns, &lower));
    *out_entry = entry;
    return MCORE_OK;
}

/* ---- What an entry is good for ---- */

static int is_fresh(const mcore__dns_entry *entry) {
    return entry->data && now_of(entry->dns) < entry->expires_ns;
}

/* Names that did not exist are not held on to. */
static int is_usable(const mcore__dns_entry *entry) {
    if (!entry->data || entry->data->status != MCORE_OK) return 0;
    uint64_t held_ns = entry->dns->options.stale_max_s * MCORE__DNS_NS_PER_S;
    return now_of(entry->dns) < entry->expires_ns + held_ns;
}

uint64_t mcore__dns_entry_ttl_ns(const mcore__dns_entry *entry) {
    uint64_t now_ns = now_of(entry->dns);
    uint64_t until_ns = is_fresh(entry) ? entry->expires_ns : entry->failed_until_ns;
    return until_ns > now_ns ? until_ns - now_ns : 0;
}

uint64_t mcore__dns_entry_age_ns(const mcore__dns_entry *entry) {
    uint64_t now_ns = now_of(entry->dns);
    /* A TTL of 0 is no reproach: it was current when it was asked for. */
    if (is_fresh(entry) || !entry->data || (!entry->failure && !entry->exchange)) return 0;
    return now_ns - entry->expires_ns;
}

/* ---- Those who wait ---- */

void mcore__dns_wait_init(mcore__dns_wait *wait, void (*fn)(void *ctx), void *ctx) {
    *wait = (mcore__dns_wait){.fn = fn, .ctx = ctx};
    mcore__list_init(&wait->node);
}

void mcore__dns_wait_release(mcore__dns_wait *wait) {
    mcore__dns_entry *entry = wait->entry;
    if (!entry) return;
    wait->entry = NULL;
    let_go(wait->data);
    wait->data = NULL;
    mcore__list_remove(&wait->node);
    entry->users--;
    if (entry->exchange && mcore__list_empty(&entry->waiters) && !entry->background) {
        mcore__dns_exchange_cancel(entry->exchange);
        entry->exchange = NULL;
        mcore__timer_stop(entry->dns->loop, &entry->patience);
    }
}

static void settle(mcore__dns_wait *wait) {
    const mcore__dns_entry *entry = wait->entry;
    wait->done = 1;
    if (entry->failure && !is_fresh(entry) && !is_usable(entry)) {
        wait->status = entry->failure;
        return;
    }
    wait->data = entry->data;
    wait->data->holders++;
    wait->status = wait->data->status;
}

static void tell_all(mcore__dns_entry *entry) {
    mcore__list waiters;
    mcore__list_move(&entry->waiters, &waiters);
    entry->users++; /* it is not forgotten meanwhile */
    while (!mcore__list_empty(&waiters)) {
        mcore__dns_wait *wait = MCORE__CONTAINER(waiters.next, mcore__dns_wait, node);
        mcore__list_remove(&wait->node);
        settle(wait);
        wait->fn(wait->ctx);
    }
    entry->users--;
}

static void lose_patience(void *arg) {
    mcore__dns_entry *entry = arg;
    if (!is_usable(entry)) return;
    entry->background = 1;
    tell_all(entry);
}

/* ---- Asking ---- */

static void fail(mcore__dns_entry *entry, mcore_status status, const char *detail) {
    uint64_t hold_ms = is_usable(entry) ? STALE_RETRY_MS : FRESH_MS;
    entry->failure = status;
    entry->failed_until_ns = now_of(entry->dns) + hold_ms * MCORE__DNS_NS_PER_MS;
    snprintf(entry->detail, sizeof entry->detail, "%s", detail);
    tell_all(entry);
}

static uint64_t ttl_s(const mcore_dns_options *options, const mcore__dns_data *data) {
    uint32_t max_s = data->status ? options->negative_ttl_max_s : options->ttl_max_s;
    uint32_t ttl = data->ttl_s;
    if (ttl > 0 && ttl < options->ttl_min_s) ttl = options->ttl_min_s;
    return ttl < max_s ? ttl : max_s;
}

static void renew(mcore__dns_entry *entry, mcore__dns_data *data) {
    let_go(entry->data);
    entry->data = data;
    data->holders = 1;
    entry->asked_ns = now_of(entry->dns);
    entry->expires_ns = entry->asked_ns + ttl_s(&entry->dns->options, data) * MCORE__DNS_NS_PER_S;
    entry->failure = MCORE_OK;
    tell_all(entry);
}

static void on_heard(void *ctx, mcore_status status, mcore_slice message, const char *detail);

static mcore_status start(mcore__dns_entry *entry) {
    return mcore__dns_exchange_start(entry->dns, &entry->asked.name, entry->type, on_heard, entry,
                                     &entry->exchange);
}

static void on_heard(void *ctx, mcore_status status, mcore_slice message, const char *detail) {
    mcore__dns_entry *entry = ctx;
    mcore__dns_data *data = NULL;
    entry->exchange = NULL;
    if (status == MCORE_OK) {
        status = mcore__dns_answer_read(message, &entry->asked, &data);
        detail = status == MCORE_EPROTO ? "the name is an alias of an alias, and so on"
                                        : "no memory for the answer";
        if (status == MCORE_OK && !data) {
            status = start(entry); /* the alias is all that it said */
            if (status == MCORE_OK) return;
        }
    }
    mcore__timer_stop(entry->dns->loop, &entry->patience);
    entry->background = 0;
    if (data)
        renew(entry, data);
    else
        fail(entry, status, detail);
}

static mcore_status begin(mcore__dns_entry *entry) {
    mcore_dns *dns = entry->dns;
    entry->asked = (mcore__dns_asked){.name = entry->name,
                                      .type = entry->type,
                                      .ttl_s = UINT32_MAX,
                                      .count_max = dns->options.addresses_max,
                                      .choice = {dns->secret[0], dns->secret[1]}};
    mcore_status status = start(entry);
    if (status == MCORE_OK && is_usable(entry))
        mcore__timer_start(dns->loop, &entry->patience, STALE_PATIENCE_MS * MCORE__DNS_NS_PER_MS);
    return status;
}

/* 1 when there is no need to ask. */
static int is_settled(const mcore__dns_entry *entry, uint32_t flags) {
    uint64_t now_ns = now_of(entry->dns);
    if (entry->failure && now_ns < entry->failed_until_ns) return 1;
    if (!is_fresh(entry)) return 0;
    return !(flags & MCORE_DNS_FRESH) || now_ns < entry->asked_ns + FRESH_MS * MCORE__DNS_NS_PER_MS;
}

mcore_status mcore__dns_ask(mcore_dns *dns, const mcore__dns_name *name, uint16_t type,
                            uint32_t flags, mcore__dns_wait *wait) {
    mcore__dns_entry *entry;
    mcore_status status = entry_of(dns, name, type, &entry);
    if (status < 0) return status;
    int settled = is_settled(entry, flags) || (entry->background && is_usable(entry));
    if (!settled && !entry->exchange) {
        status = begin(entry);
        if (status < 0) return status;
    }
    mcore__list_remove(&entry->lru);
    mcore__list_append(&dns->lru, &entry->lru);
    wait->entry = entry;
    wait->done = 0;
    entry->users++;
    if (settled)
        settle(wait);
    else
        mcore__list_append(&entry->waiters, &wait->node);
    return MCORE_OK;
}
