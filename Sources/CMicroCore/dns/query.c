/* What a user asked. A query looks in what needs no server, then asks for the name and the names
 * that search domains make of it, one after the other; of services it then asks for the addresses
 * of their targets. */
#include "base/memory.h"
#include "dns/resolver.h"
#include "loop/ip.h"

#include <stdio.h>
#include <string.h>

enum {
    OTHER_VERSION_MS = 250,  /* that the other version of IP gets, when one has an answer */
    OTHER_TARGETS_MS = 1000, /* and the other targets of a service */
    LOCAL_TTL_S = 5          /* of what needs no server: files may change */
};

typedef enum kind { ADDRESSES, SERVICES, TEXTS } kind;

struct mcore_dns_query {
    mcore__list node;
    mcore_dns *dns;
    kind kind;
    uint32_t flags;
    mcore_dns_done done;
    void *ctx;
    mcore__later later; /* calls it */
    mcore__timer deadline;
    mcore__timer grace;
    uint32_t finished, has_grace;

    mcore__dns_name name;
    uint32_t absolute; /* it ended in a dot: no search domains */
    uint32_t next;     /* of the names to try */
    mcore__dns_wait waits[2];
    uint32_t wait_count;
    mcore__dns_wait *target_waits; /* of SERVICES: two for each target */
    uint32_t target_count;

    mcore_status status;
    char detail[MCORE__DNS_DETAIL_BYTES];

    mcore_dns_answer answer;
    mcore_dns_address *addresses;
    mcore_dns_service *services;
    mcore_slice *texts;
    char *names; /* of the services' targets */
};

/* ---- Ends ---- */

static void release_waits(mcore_dns_query *q) {
    for (uint32_t i = 0; i < q->wait_count; i++) mcore__dns_wait_release(&q->waits[i]);
    for (uint32_t i = 0; i < 2 * q->target_count; i++) mcore__dns_wait_release(&q->target_waits[i]);
    q->wait_count = q->target_count = 0;
}

static void query_free(mcore_dns_query *q) {
    mcore_dns *dns = q->dns;
    mcore__list_remove(&q->node);
    dns->query_count--;
    mcore__free(q->target_waits);
    mcore__free(q->addresses);
    mcore__free(q->services);
    mcore__free(q->texts);
    mcore__free(q->names);
    mcore__free(q);
    mcore__dns_check_closed(dns);
}

static void deliver(void *arg) {
    mcore_dns_query *q = arg;
    q->answer.struct_size = sizeof q->answer;
    q->answer.status = q->status;
    q->answer.detail = q->status ? q->detail : "";
    q->done(q->ctx, &q->answer);
    query_free(q);
}

/* The answer has nothing of the cache, which may be renewed before it is delivered. */
static void finish(mcore_dns_query *q, mcore_status status) {
    release_waits(q);
    q->finished = 1;
    q->status = status;
    mcore__timer_stop(q->dns->loop, &q->deadline);
    mcore__timer_stop(q->dns->loop, &q->grace);
    mcore__later_mark(q->dns->loop, &q->later);
}

static void finish_failed(mcore_dns_query *q, mcore_status status, const char *detail) {
    uint64_t ttl_ns = q->answer.ttl_ns;
    q->answer = (mcore_dns_answer){.ttl_ns = ttl_ns == UINT64_MAX ? 0 : ttl_ns};
    snprintf(q->detail, sizeof q->detail, "%s", detail);
    finish(q, status);
}

void mcore_dns_cancel(mcore_dns_query *query) {
    if (!query->finished) finish_failed(query, MCORE_ECANCELED, "cancelled");
}

void mcore__dns_queries_cancel(mcore_dns *dns) {
    for (mcore__list *node = dns->queries.next; node != &dns->queries; node = node->next)
        mcore_dns_cancel(MCORE__CONTAINER(node, mcore_dns_query, node));
}

/* ---- Putting an answer together ---- */

static uint32_t families_of(const mcore_dns_query *q) {
    uint32_t families = q->flags & (MCORE_DNS_IPV4 | MCORE_DNS_IPV6);
    return families ? families : MCORE_DNS_IPV4 | MCORE_DNS_IPV6;
}

static int has_data(const mcore__dns_wait *wait) {
    return wait->entry && wait->done && wait->status == MCORE_OK;
}

static void count_in(mcore_dns_query *q, const mcore__dns_wait *wait) {
    int is_current = wait->data == wait->entry->data;
    uint64_t ttl_ns = is_current ? mcore__dns_entry_ttl_ns(wait->entry) : 0;
    uint64_t age_ns = mcore__dns_entry_age_ns(wait->entry);
    if (ttl_ns < q->answer.ttl_ns) q->answer.ttl_ns = ttl_ns;
    if (age_ns > q->answer.age_ns) q->answer.age_ns = age_ns;
}

/* Appends the addresses of both waits, IPv6 and IPv4 in turn, `room` at most. */
static uint32_t merge(mcore_dns_query *q, const mcore__dns_wait waits[2], mcore_dns_address *out,
                      uint32_t room) {
    const mcore__dns_data *data[2] = {NULL, NULL};
    uint32_t count = 0, total = 0;
    for (int i = 0; i < 2; i++) {
        if (!has_data(&waits[i])) continue;
        count_in(q, &waits[i]);
        data[i] = waits[i].data;
        total += data[i]->address_count;
        q->answer.cut += data[i]->cut;
    }
    for (uint32_t at = 0; count < room && count < total; at++)
        for (int i = 0; i < 2; i++)
            if (data[i] && at < data[i]->address_count && count < room)
                out[count++] = data[i]->addresses[at];
    q->answer.cut += total - count;
    return count;
}

static mcore_status assemble_addresses(mcore_dns_query *q) {
    uint32_t room = q->dns->options.addresses_max;
    q->addresses = mcore__alloc(room * sizeof *q->addresses);
    if (!q->addresses) return MCORE_ENOMEM;
    q->answer.addresses = q->addresses;
    q->answer.address_count = merge(q, q->waits, q->addresses, room);
    return MCORE_OK;
}

static int is_wanted(const mcore_dns_query *q, const mcore_dns_address *address) {
    return (families_of(q) & (address->version == 4 ? MCORE_DNS_IPV4 : MCORE_DNS_IPV6)) != 0;
}

/* The addresses of a target: those that came with the service, else those that are known here or
 * that were asked for. */
static uint32_t target_addresses(mcore_dns_query *q, uint32_t i, mcore_dns_address *out,
                                 uint32_t room) {
    const mcore__dns_target *target = &q->waits[0].data->targets[i];
    uint32_t count = 0;
    for (uint32_t j = 0; j < target->glue_count && count < room; j++)
        if (is_wanted(q, &target->glue[j])) out[count++] = target->glue[j];
    if (count > 0) return count;
    int is_known;
    count = mcore__dns_local(q->dns, &target->name, families_of(q), out, room, &is_known);
    return is_known ? count : merge(q, &q->target_waits[2 * i], out, room);
}

static mcore_status assemble_services(mcore_dns_query *q) {
    const mcore__dns_data *data = q->waits[0].data;
    uint32_t count = data->target_count, each = q->dns->options.addresses_max;
    if (each > MCORE__DNS_GLUE_MAX) each = MCORE__DNS_GLUE_MAX;
    q->services = mcore__zalloc(count * sizeof *q->services);
    q->addresses = mcore__alloc((size_t)count * each * sizeof *q->addresses);
    q->names = mcore__alloc((size_t)count * MCORE__DNS_NAME_TEXT_BYTES);
    if (!q->services || !q->addresses || !q->names) return MCORE_ENOMEM;
    count_in(q, &q->waits[0]);
    q->answer.cut = data->cut;
    for (uint32_t i = 0; i < count; i++) {
        const mcore__dns_target *target = &data->targets[i];
        char *name = q->names + (size_t)i * MCORE__DNS_NAME_TEXT_BYTES;
        mcore_dns_address *addresses = q->addresses + (size_t)i * each;
        uint32_t cut = q->answer.cut; /* of services: more addresses of one don't count */
        q->services[i] =
            (mcore_dns_service){.target = {name, mcore__dns_name_format(&target->name, name)},
                                .addresses = addresses,
                                .address_count = target_addresses(q, i, addresses, each),
                                .priority = target->priority,
                                .weight = target->weight,
                                .port = target->port};
        q->answer.cut = cut;
    }
    q->answer.services = q->services;
    q->answer.service_count = count;
    return MCORE_OK;
}

/* Why no target has an address. */
static void fail_without_addresses(mcore_dns_query *q) {
    char detail[MCORE__DNS_DETAIL_BYTES] = "no target of the service has an address";
    mcore_status status = MCORE_ENOENT;
    for (uint32_t i = 0; i < 2 * q->target_count && status == MCORE_ENOENT; i++) {
        const mcore__dns_wait *wait = &q->target_waits[i];
        if (!wait->entry || !wait->done || !wait->status || wait->status == MCORE_ENOENT) continue;
        status = wait->status;
        memcpy(detail, wait->entry->detail, sizeof detail);
    }
    finish_failed(q, status, detail);
}

static int has_addresses(const mcore_dns_query *q) {
    for (uint32_t i = 0; i < q->answer.service_count; i++)
        if (q->services[i].address_count > 0) return 1;
    return 0;
}

static mcore_status assemble_texts(mcore_dns_query *q) {
    const mcore__dns_data *data = q->waits[0].data;
    mcore_slice rest = {data->text, data->text_len}, string;
    uint32_t count = 0;
    count_in(q, &q->waits[0]);
    while (mcore__dns_next_string(&rest, &string)) count++;
    q->names = mcore__alloc(data->text_len ? data->text_len : 1);
    q->texts = mcore__alloc((count ? count : 1) * sizeof *q->texts);
    if (!q->names || !q->texts) return MCORE_ENOMEM;
    if (data->text_len) memcpy(q->names, data->text, data->text_len);
    rest = (mcore_slice){q->names, data->text_len};
    for (uint32_t i = 0; i < count; i++) mcore__dns_next_string(&rest, &q->texts[i]);
    q->answer.texts = q->texts;
    q->answer.text_count = count;
    return MCORE_OK;
}

static void assemble(mcore_dns_query *q) {
    mcore_status status;
    q->answer = (mcore_dns_answer){.ttl_ns = UINT64_MAX};
    if (q->kind == ADDRESSES)
        status = assemble_addresses(q);
    else if (q->kind == SERVICES)
        status = assemble_services(q);
    else
        status = assemble_texts(q);
    if (status < 0)
        finish_failed(q, status, "no memory for the answer");
    else if (q->kind == SERVICES && !has_addresses(q))
        fail_without_addresses(q);
    else
        finish(q, MCORE_OK);
}

static void finish_local(mcore_dns_query *q, const mcore_dns_address *addresses, uint32_t count) {
    q->answer = (mcore_dns_answer){.ttl_ns = LOCAL_TTL_S * MCORE__DNS_NS_PER_S};
    if (count == 0) {
        finish_failed(q, MCORE_ENOENT, "the name has no address of that version on this machine");
        return;
    }
    q->addresses = mcore__alloc(count * sizeof *q->addresses);
    if (!q->addresses) {
        finish_failed(q, MCORE_ENOMEM, "no memory for the answer");
        return;
    }
    memcpy(q->addresses, addresses, count * sizeof *q->addresses);
    q->answer.addresses = q->addresses;
    q->answer.address_count = count;
    finish(q, MCORE_OK);
}

/* ---- Targets of services ---- */

static void on_target(void *arg);

static int has_glue(const mcore_dns_query *q, const mcore__dns_target *target) {
    for (uint32_t i = 0; i < target->glue_count; i++)
        if (is_wanted(q, &target->glue[i])) return 1;
    return 0;
}

/* Returns whether all that was asked is known, and sets whether some target has an address. */
static int targets_done(const mcore_dns_query *q, int *out_some) {
    int done = 1;
    *out_some = 0;
    for (uint32_t i = 0; i < q->target_count; i++)
        *out_some |= has_glue(q, &q->waits[0].data->targets[i]);
    for (uint32_t i = 0; i < 2 * q->target_count; i++) {
        const mcore__dns_wait *wait = &q->target_waits[i];
        if (!wait->entry) continue;
        if (!wait->done) done = 0;
        if (has_data(wait)) *out_some = 1;
    }
    return done;
}

static void ask_target(mcore_dns_query *q, const mcore__dns_target *target,
                       mcore__dns_wait waits[2]) {
    mcore_dns_address address;
    int is_known;
    mcore__dns_wait_init(&waits[0], on_target, q);
    mcore__dns_wait_init(&waits[1], on_target, q);
    if (has_glue(q, target)) return;
    (void)mcore__dns_local(q->dns, &target->name, families_of(q), &address, 1, &is_known);
    if (is_known) return;
    /* One that can't be asked about is a target without addresses. */
    if (families_of(q) & MCORE_DNS_IPV6)
        (void)mcore__dns_ask(q->dns, &target->name, MCORE__DNS_AAAA, 0, &waits[0]);
    if (families_of(q) & MCORE_DNS_IPV4)
        (void)mcore__dns_ask(q->dns, &target->name, MCORE__DNS_A, 0, &waits[1]);
}

static void continue_targets(mcore_dns_query *q) {
    int some;
    if (q->finished) return;
    if (targets_done(q, &some)) {
        assemble(q);
    } else if (some && !q->has_grace) {
        q->has_grace = 1;
        mcore__timer_start(q->dns->loop, &q->grace, OTHER_TARGETS_MS * MCORE__DNS_NS_PER_MS);
    }
}

static void on_target(void *arg) { continue_targets(arg); }

static void ask_targets(mcore_dns_query *q) {
    const mcore__dns_data *data = q->waits[0].data;
    q->target_waits = mcore__zalloc(2 * data->target_count * sizeof *q->target_waits);
    if (!q->target_waits) {
        finish_failed(q, MCORE_ENOMEM, "no memory for the targets");
        return;
    }
    q->target_count = data->target_count;
    for (uint32_t i = 0; i < q->target_count; i++)
        ask_target(q, &data->targets[i], &q->target_waits[2 * i]);
    continue_targets(q);
}

/* ---- Names to try ---- */

/* The next name, or 0 when there is no other. Names with enough dots are tried as they are first,
 * others at last. */
static int next_name(mcore_dns_query *q, mcore__dns_name *out) {
    const mcore__dns_conf *conf = &q->dns->conf;
    uint32_t search_count = q->absolute ? 0 : conf->search_count;
    uint32_t dots = mcore__dns_name_label_count(&q->name) - 1;
    uint32_t own = q->absolute || dots >= conf->ndots ? 0 : search_count;
    while (q->next <= search_count) {
        uint32_t at = q->next++;
        *out = q->name;
        if (at == own) return 1;
        const mcore__dns_name *domain = &conf->search[at < own ? at : at - 1];
        if (mcore__dns_name_append(out, domain) == MCORE_OK) return 1;
    }
    return 0;
}

static void on_wait(void *arg);

static mcore_status ask(mcore_dns_query *q, const mcore__dns_name *name) {
    static const uint16_t types[] = {MCORE__DNS_AAAA, MCORE__DNS_A};
    static const uint32_t families[] = {MCORE_DNS_IPV6, MCORE_DNS_IPV4};
    mcore_status status = MCORE_OK;
    q->wait_count = 2;
    mcore__dns_wait_init(&q->waits[0], on_wait, q);
    mcore__dns_wait_init(&q->waits[1], on_wait, q);
    if (q->kind != ADDRESSES) {
        uint16_t type = q->kind == SERVICES ? MCORE__DNS_SRV : MCORE__DNS_TXT;
        return mcore__dns_ask(q->dns, name, type, q->flags, &q->waits[0]);
    }
    for (int i = 0; i < 2 && status == MCORE_OK; i++)
        if (families_of(q) & families[i])
            status = mcore__dns_ask(q->dns, name, types[i], q->flags, &q->waits[i]);
    return status;
}

/* Keeps what is known of a name that was tried in vain. */
static void note_failure(mcore_dns_query *q) {
    for (uint32_t i = 0; i < q->wait_count; i++) {
        const mcore__dns_wait *wait = &q->waits[i];
        if (!wait->entry || wait->status == MCORE_OK) continue;
        uint64_t ttl_ns = mcore__dns_entry_ttl_ns(wait->entry);
        if (ttl_ns < q->answer.ttl_ns) q->answer.ttl_ns = ttl_ns;
        if (wait->status == MCORE_ENOENT) continue; /* a failure says more */
        q->status = wait->status;
        snprintf(q->detail, sizeof q->detail, "%s", wait->entry->detail);
    }
    release_waits(q);
}

static void fail_at_last(mcore_dns_query *q) {
    char detail[MCORE__DNS_DETAIL_BYTES];
    if (q->status) {
        memcpy(detail, q->detail, sizeof detail);
        finish_failed(q, q->status, detail);
        return;
    }
    static const char *const things[] = {"address", "service (SRV)", "text (TXT)"};
    uint32_t searched = q->absolute ? 0 : q->dns->conf.search_count;
    snprintf(detail, sizeof detail, "no such name, or it has no %s%s", things[q->kind],
             searched ? ", also in the search domains" : "");
    finish_failed(q, MCORE_ENOENT, detail);
}

/* Goes on while answers are in the cache. */
static void evaluate(mcore_dns_query *q);

static void try_next(mcore_dns_query *q) {
    mcore__dns_name name;
    if (!next_name(q, &name)) {
        fail_at_last(q);
        return;
    }
    mcore_status status = ask(q, &name);
    if (status < 0)
        finish_failed(q, status,
                      status == MCORE_ELIMIT ? "too many names are asked for at the same time"
                                             : "no memory for the question");
    else
        evaluate(q);
}

static void evaluate(mcore_dns_query *q) {
    int some = 0, done = 1;
    if (q->finished) return;
    for (uint32_t i = 0; i < q->wait_count; i++) {
        if (!q->waits[i].entry) continue;
        some |= has_data(&q->waits[i]);
        done &= q->waits[i].done != 0;
    }
    if (!done) {
        if (some && !q->has_grace) {
            q->has_grace = 1;
            mcore__timer_start(q->dns->loop, &q->grace, OTHER_VERSION_MS * MCORE__DNS_NS_PER_MS);
        }
    } else if (!some) {
        note_failure(q);
        if (q->status == MCORE_ETIMEDOUT)
            fail_at_last(q); /* other names would take as long */
        else
            try_next(q);
    } else if (q->kind == SERVICES) {
        ask_targets(q);
    } else {
        assemble(q);
    }
}

static void on_wait(void *arg) { evaluate(arg); }

/* ---- Queries ---- */

static void on_deadline(void *arg) {
    mcore_dns_query *q = arg;
    int some;
    if (q->target_count > 0 && (targets_done(q, &some), some)) {
        assemble(q);
        return;
    }
    finish_failed(q, MCORE_ETIMEDOUT, "no server has answered in time");
}

static void on_grace(void *arg) { assemble(arg); }

static void begin(mcore_dns_query *q) {
    mcore__dns_files_look(q->dns);
    if (q->kind == ADDRESSES) {
        mcore_dns_address addresses[MCORE__DNS_ADDRESSES_LIMIT];
        int is_known;
        uint32_t count = mcore__dns_local(q->dns, &q->name, families_of(q), addresses,
                                          q->dns->options.addresses_max, &is_known);
        if (is_known) {
            finish_local(q, addresses, count);
            return;
        }
    }
    try_next(q);
}

static mcore_status query(mcore_dns *dns, kind kind, mcore_slice name, uint32_t flags,
                          uint64_t timeout_ms, mcore_dns_done done, void *ctx,
                          mcore_dns_query **out_query) {
    if (dns->closing) return MCORE_ECLOSED;
    if (dns->query_count >= dns->options.queries_max) return MCORE_ELIMIT;
    mcore__dns_name parsed;
    mcore_status status = mcore__dns_name_parse(name, &parsed);
    if (status < 0 || parsed.len <= 1) return MCORE_EINVAL;
    mcore_dns_query *q = mcore__zalloc(sizeof *q);
    if (!q) return MCORE_ENOMEM;
    const char *text = name.data;
    q->dns = dns;
    q->kind = kind;
    q->flags = flags;
    q->done = done;
    q->ctx = ctx;
    q->name = parsed;
    q->absolute = text[name.len - 1] == '.' && (name.len < 2 || text[name.len - 2] != '\\');
    q->answer.ttl_ns = UINT64_MAX;
    mcore__later_init(&q->later, deliver, q);
    mcore__timer_init(&q->deadline, on_deadline, q);
    mcore__timer_init(&q->grace, on_grace, q);
    mcore__list_append(&dns->queries, &q->node);
    dns->query_count++;
    if (timeout_ms > 0 && timeout_ms < UINT64_MAX / MCORE__DNS_NS_PER_MS)
        mcore__timer_start(dns->loop, &q->deadline, timeout_ms * MCORE__DNS_NS_PER_MS);
    begin(q);
    *out_query = q;
    return MCORE_OK;
}

mcore_status mcore_dns_addresses(mcore_dns *dns, mcore_slice name, uint32_t flags,
                                 uint64_t timeout_ms, mcore_dns_done done, void *ctx,
                                 mcore_dns_query **out_query) {
    return query(dns, ADDRESSES, name, flags, timeout_ms, done, ctx, out_query);
}

mcore_status mcore_dns_services(mcore_dns *dns, mcore_slice name, uint32_t flags,
                                uint64_t timeout_ms, mcore_dns_done done, void *ctx,
                                mcore_dns_query **out_query) {
    return query(dns, SERVICES, name, flags, timeout_ms, done, ctx, out_query);
}

mcore_status mcore_dns_texts(mcore_dns *dns, mcore_slice name, uint32_t flags, uint64_t timeout_ms,
                             mcore_dns_done done, void *ctx, mcore_dns_query **out_query) {
    return query(dns, TEXTS, name, flags, timeout_ms, done, ctx, out_query);
}
