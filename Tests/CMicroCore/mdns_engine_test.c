#include "test.h"

#include "failing_heap.h"
#include "frame/dns.h"
#include "mdns/engine.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

enum { MACHINES = 8, LOG_BYTES = 1 << 16 };

/* Engines on one link, in virtual time. What one sends all get at once, itself too. */
static struct {
    uint64_t now_ns;
    mcore__mdns_engine *engines[MACHINES];
    uint32_t count;
    uint32_t cut;                     /* bits: machines that hear nothing */
    uint32_t multicasts, unicasts;    /* that were sent */
    char events[MACHINES][LOG_BYTES]; /* of each, as text */
    void (*sniff)(uint32_t from, const mcore__mdns_packet *packet);
} net;

static mcore__mdns_peer peer_of(uint32_t machine) {
    return (mcore__mdns_peer){
        .link = 1, .port = 5353, .address = {4, {10, 0, 0, (uint8_t)(machine + 1)}}};
}

static void note(uint32_t machine, const mcore__mdns_event *event) {
    if (strlen(net.events[machine]) > LOG_BYTES / 2) return;
    char *out = net.events[machine] + strlen(net.events[machine]);
    size_t room = LOG_BYTES - strlen(net.events[machine]);
    switch (event->kind) {
    case MCORE__MDNS_PUBLISHED:
        snprintf(out, room, "published %u;", (unsigned)event->publication);
        break;
    case MCORE__MDNS_CONFLICT:
        snprintf(out, room, "conflict %u;", (unsigned)event->publication);
        break;
    case MCORE__MDNS_LOST:
        snprintf(out, room, "-%.*s;", (int)event->instance.len, (const char *)event->instance.data);
        break;
    default:
        snprintf(out, room, "+%.*s:%u %.*s", (int)event->instance.len,
                 (const char *)event->instance.data, event->port,
                 event->txt.len ? (int)event->txt.len - 1 : 0, (const char *)event->txt.data + 1);
        for (uint32_t i = 0; i < event->address_count; i++)
            sprintf(out + strlen(out), " /%u", event->addresses[i].bytes[3]);
        strcat(out, ";");
    }
}

static void pump(void);

static void deliver(uint32_t from, const mcore__mdns_packet *packet) {
    mcore__mdns_peer peer = peer_of(from);
    uint8_t copy[MCORE__MDNS_PACKET_BYTES_MAX];
    memcpy(copy, packet->bytes.data, packet->bytes.len);
    mcore_slice bytes = {copy, packet->bytes.len};
    mcore__mdns_packet taken = {bytes, packet->unicast, packet->to};
    if (net.sniff) net.sniff(from, &taken);
    packet->unicast ? net.unicasts++ : net.multicasts++;
    for (uint32_t i = 0; i < net.count; i++) {
        if (!net.engines[i] || net.cut >> i & 1) continue;
        if (packet->unicast && packet->to.address.bytes[3] != i + 1) continue;
        mcore__mdns_receive(net.engines[i], bytes, &peer, net.now_ns);
    }
}

static void pump(void) {
    for (int busy = 1; busy;) {
        busy = 0;
        for (uint32_t i = 0; i < net.count; i++) {
            mcore__mdns_packet packet;
            mcore__mdns_event event;
            if (!net.engines[i]) continue;
            mcore__mdns_advance(net.engines[i], net.now_ns);
            while (mcore__mdns_next_packet(net.engines[i], &packet)) {
                busy = 1;
                if (net.cut >> i & 1) continue;
                deliver(i, &packet);
            }
            while (mcore__mdns_next_event(net.engines[i], &event)) note(i, &event);
        }
    }
}

static void run(uint64_t ns) {
    uint64_t until_ns = net.now_ns + ns;
    for (uint32_t turns = 0;; turns++) {
        uint64_t next_ns = until_ns;
        CHECK(turns < 1000000);
        pump();
        for (uint32_t i = 0; i < net.count; i++) {
            uint64_t due_ns = net.engines[i] ? mcore__mdns_next_ns(net.engines[i]) : UINT64_MAX;
            if (due_ns < next_ns) next_ns = due_ns;
        }
        if (next_ns >= until_ns) break;
        CHECK(next_ns > net.now_ns);
        net.now_ns = next_ns;
    }
    net.now_ns = until_ns;
    pump();
}

static void begin(uint32_t count) {
    mcore__mdns_limits limits;
    memset(&net, 0, sizeof net);
    net.now_ns = 1 * S;
    net.count = count;
    mcore__mdns_limits_default(&limits);
    for (uint32_t i = 0; i < count; i++)
        CHECK_INT(mcore__mdns_engine_create(&limits, i + 1, net.now_ns, &net.engines[i]), MCORE_OK);
}

static void finish(void) {
    for (uint32_t i = 0; i < net.count; i++) mcore__mdns_engine_destroy(net.engines[i]);
    memset(&net, 0, sizeof net);
}

static void forget(void) {
    for (uint32_t i = 0; i < net.count; i++) net.events[i][0] = 0;
    net.multicasts = net.unicasts = 0;
}

static mcore__mdns_service service_of(const char *instance, const char *txt) {
    static const mcore__mdns_address address = {4, {10, 0, 0, 7}};
    return (mcore__mdns_service){.instance = mcore_slice_of(instance),
                                 .type = TEXT("_micro._tcp"),
                                 .subtype = TEXT("_greeter"),
                                 .txt = mcore_slice_of(txt),
                                 .port = 4711,
                                 .ttl_s = 90,
                                 .addresses = &address,
                                 .address_count = 1};
}

static uint64_t publish(uint32_t machine, const char *instance, const char *txt) {
    uint64_t id = 0;
    mcore__mdns_service service = service_of(instance, txt);
    CHECK_INT(mcore__mdns_publish(net.engines[machine], &service, net.now_ns, &id), MCORE_OK);
    return id;
}

static void browse(uint32_t machine) {
    CHECK_INT(mcore__mdns_browse(net.engines[machine], TEXT("_micro._tcp"), TEXT("addresses"),
                                 net.now_ns),
              MCORE_OK);
}

#define CHECK_EVENTS(machine, text) CHECK_SLICE(mcore_slice_of(net.events[machine]), text)

/* ---- The way of an instance ---- */

TEST(found_changed_and_lost) {
    begin(3);
    browse(1);
    run(5 * S);
    uint64_t id = publish(0, "a@greeter", "\003v=1");
    run(2 * S);
    CHECK_EVENTS(0, "published 1;");
    CHECK_EVENTS(1, "+a@greeter:4711 v=1 /7;");
    mcore__mdns_service changed = service_of("a@greeter", "\003v=2");
    CHECK_INT(mcore__mdns_update(net.engines[0], id, &changed, net.now_ns), MCORE_OK);
    run(2 * S);
    CHECK_EVENTS(1, "+a@greeter:4711 v=1 /7;+a@greeter:4711 v=2 /7;");
    browse(2); /* who comes later asks, and nothing is said twice in a second */
    run(1300 * MS);
    CHECK_EVENTS(2, "+a@greeter:4711 v=2 /7;");
    mcore__mdns_withdraw(net.engines[0], id, net.now_ns);
    run(900 * MS);
    CHECK_EVENTS(2, "+a@greeter:4711 v=2 /7;");
    run(200 * MS); /* a goodbye is believed after a second */
    CHECK_EVENTS(2, "+a@greeter:4711 v=2 /7;-a@greeter;");
    CHECK_EVENTS(1, "+a@greeter:4711 v=1 /7;+a@greeter:4711 v=2 /7;-a@greeter;");
    finish();
}

TEST(probing_takes_at_most_a_second) {
    begin(1);
    publish(0, "a", "\003v=1");
    run(740 * MS);
    CHECK_EVENTS(0, "");
    run(270 * MS);
    CHECK_EVENTS(0, "published 1;");
    CHECK_INT(net.multicasts, 4); /* three probes, one announcement */
    run(60 * S);
    CHECK_INT(net.multicasts, 6);
    CHECK_INT(mcore__mdns_next_ns(net.engines[0]), UINT64_MAX);
    finish();
}

TEST(a_node_that_died_is_forgotten_when_its_time_is_over) {
    begin(2);
    browse(1);
    publish(0, "a", "\003v=1");
    run(5 * S);
    CHECK_EVENTS(1, "+a:4711 v=1 /7;");
    net.cut = 1;
    run(60 * S);
    CHECK_EVENTS(1, "+a:4711 v=1 /7;");
    run(40 * S);
    CHECK_EVENTS(1, "+a:4711 v=1 /7;-a;");
    net.cut = 0; /* and found when it is back, at the latest with the next question */
    run(300 * S);
    CHECK_EVENTS(1, "+a:4711 v=1 /7;-a;+a:4711 v=1 /7;");
    finish();
}

TEST(what_holds_is_refreshed_and_not_told_again) {
    begin(2);
    browse(1);
    publish(0, "a", "\003v=1");
    run(20 * S);
    forget();
    run(3600 * S);
    CHECK_EVENTS(1, "");
    /* 45 lives of 80 %, each a question for the instance and one for its parts, and two answers. */
    CHECK(net.multicasts < 4 * 55);
    finish();
}

/* ---- Names ---- */

TEST(the_first_keeps_its_name) {
    begin(3);
    browse(2);
    publish(0, "a", "\003v=1");
    run(5 * S);
    publish(1, "a", "\003v=2");
    run(5 * S);
    CHECK_EVENTS(0, "published 1;");
    CHECK_EVENTS(1, "conflict 1;");
    CHECK_EVENTS(2, "+a:4711 v=1 /7;");
    publish(1, "b", "\003v=2");
    run(5 * S);
    CHECK_EVENTS(2, "+a:4711 v=1 /7;+b:4711 v=2 /7;");
    finish();
}

TEST(of_two_at_once_one_wins) {
    begin(3);
    browse(2);
    publish(0, "a", "\003v=1");
    publish(1, "a", "\003v=2");
    run(10 * S);
    int first = strcmp(net.events[0], "published 1;") == 0;
    CHECK_EVENTS(first ? 1 : 0, "conflict 1;");
    CHECK_EVENTS(first ? 0 : 1, "published 1;");
    CHECK_EVENTS(2, first ? "+a:4711 v=1 /7;" : "+a:4711 v=2 /7;");
    finish();
}

TEST(two_halves_of_a_network_that_meet) {
    begin(2);
    net.cut = 3;
    publish(0, "a", "\003v=1");
    publish(1, "a", "\003v=2");
    run(5 * S);
    CHECK_EVENTS(0, "published 1;");
    CHECK_EVENTS(1, "published 1;");
    net.cut = 0;
    mcore__mdns_restart(net.engines[0], net.now_ns);
    mcore__mdns_restart(net.engines[1], net.now_ns);
    run(20 * S);
    CHECK(strstr(net.events[0], "conflict 1;") || strstr(net.events[1], "conflict 1;"));
    CHECK(!strstr(net.events[0], "conflict 1;") || !strstr(net.events[1], "conflict 1;"));
    finish();
}

TEST(the_same_name_twice_in_one_process) {
    begin(1);
    uint64_t id = 0;
    mcore__mdns_service service = service_of("a", "\003v=1");
    publish(0, "a", "\003v=1");
    CHECK_INT(mcore__mdns_publish(net.engines[0], &service, net.now_ns, &id), MCORE_EEXIST);
    service.instance = TEXT("A"); /* names don't know case */
    CHECK_INT(mcore__mdns_publish(net.engines[0], &service, net.now_ns, &id), MCORE_EEXIST);
    finish();
}

TEST(what_can_not_be_published) {
    begin(1);
    uint64_t id = 0;
    mcore__mdns_service good = service_of("a", "\003v=1"), bad;
    char label[65];
    memset(label, 'x', 64);
    label[64] = 0;
#define REFUSED(field, value)                                                                      \
    bad = good;                                                                                    \
    bad.field = value;                                                                             \
    CHECK_INT(mcore__mdns_publish(net.engines[0], &bad, net.now_ns, &id), MCORE_EINVAL)
    REFUSED(instance, mcore_slice_of(label));
    REFUSED(instance, TEXT(""));
    REFUSED(type, TEXT(""));
    REFUSED(type, TEXT("a..b"));
    REFUSED(subtype, mcore_slice_of(label));
    REFUSED(txt, TEXT(""));
    REFUSED(txt, TEXT("\005v=1"));
    REFUSED(ttl_s, 0);
    REFUSED(address_count, MCORE__MDNS_ADDRESSES_MAX + 1);
    static uint8_t large[MCORE__MDNS_PACKET_BYTES_MAX];
    REFUSED(txt, ((mcore_slice){large, sizeof large}));
    CHECK_INT(mcore__mdns_update(net.engines[0], 7, &good, net.now_ns), MCORE_ENOENT);
    mcore__mdns_withdraw(net.engines[0], 7, net.now_ns);
    CHECK_INT(mcore__mdns_next_ns(net.engines[0]), UINT64_MAX);
    for (uint32_t i = 0; i < 256; i++) {
        sprintf(label, "n%u", (unsigned)i);
        publish(0, label, "\003v=1");
    }
    CHECK_INT(mcore__mdns_publish(net.engines[0], &good, net.now_ns, &id), MCORE_ELIMIT);
    finish();
}

/* ---- Packets by hand ---- */

static struct {
    uint32_t count;
    char text[LOG_BYTES];
} heard; /* what machine 0 sends */

static void write_record(const mcore__dns_record *record) {
    char name[MCORE__DNS_NAME_TEXT_BYTES];
    mcore__dns_name_format(&record->name, name);
    if (strncmp(name, "micro-", 6) == 0) strcpy(name, "HOST");
    sprintf(heard.text + strlen(heard.text), "%s%s %u%s %u;", record->section == 2 ? "+" : "", name,
            record->type, record->cache_flush ? "!" : "", record->ttl_s);
}

static void listen(uint32_t from, const mcore__mdns_packet *packet) {
    mcore__dns_reader reader;
    mcore__dns_header header;
    mcore__dns_question question;
    mcore__dns_record record;
    if (from != 0) return;
    if (strlen(heard.text) > LOG_BYTES / 2) heard.text[0] = 0;
    CHECK_INT(mcore__dns_read_begin(&reader, packet->bytes, &header), MCORE_OK);
    heard.count++;
    sprintf(heard.text + strlen(heard.text), "%s%s[", packet->unicast ? "unicast " : "",
            header.response    ? ""
            : header.truncated ? "?.."
                               : "?");
    while (mcore__dns_read_question(&reader, &question) == MCORE_OK)
        sprintf(heard.text + strlen(heard.text), "Q%u ", question.type);
    while (mcore__dns_read_record(&reader, &record) == MCORE_OK) write_record(&record);
    strcat(heard.text, "]");
}

static void begin_listening(void) {
    memset(&heard, 0, sizeof heard);
    net.sniff = listen;
}

static struct {
    mcore__dns_writer writer;
    uint8_t bytes[MCORE__MDNS_PACKET_BYTES_MAX];
} by_hand;

static void hand_begin(int response) {
    mcore__dns_header header = {.id = 77, .response = (uint8_t)response};
    mcore__dns_write_begin(&by_hand.writer, by_hand.bytes, sizeof by_hand.bytes, &header);
    by_hand.writer.multicast = 1;
}

static void hand_ask(const char *name, uint16_t type, int unicast) {
    mcore__dns_question question = {
        .type = type, .class_code = MCORE__DNS_IN, .unicast_response = (uint8_t)unicast};
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(name), &question.name), MCORE_OK);
    CHECK_INT(mcore__dns_write_question(&by_hand.writer, &question), MCORE_OK);
}

static void hand_point(const char *name, const char *target, uint32_t ttl_s) {
    mcore__dns_record record = {.type = MCORE__DNS_PTR,
                                .class_code = MCORE__DNS_IN,
                                .section = MCORE__DNS_ANSWER,
                                .ttl_s = ttl_s};
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(name), &record.name), MCORE_OK);
    CHECK_INT(mcore__dns_name_parse(mcore_slice_of(target), &record.target), MCORE_OK);
    CHECK_INT(mcore__dns_write_record(&by_hand.writer, &record), MCORE_OK);
}

/* From machine 7, which has no engine. */
static void hand_send(uint16_t port, int truncated) {
    mcore__mdns_peer peer = peer_of(7);
    peer.port = port;
    mcore_slice bytes = {by_hand.bytes, mcore__dns_write_end(&by_hand.writer, truncated)};
    mcore__mdns_receive(net.engines[0], bytes, &peer, net.now_ns);
}

static void begin_live(const char *instance) {
    begin(1);
    publish(0, instance, "\003v=1");
    run(60 * S);
    begin_listening();
}

#define CHECK_HEARD(expected) CHECK_SLICE(mcore_slice_of(heard.text), expected)
#define TYPE "_micro._tcp.local"

TEST(an_answer_says_what_will_be_asked_next) {
    begin_live("a");
    hand_begin(0);
    hand_ask(TYPE, MCORE__DNS_PTR, 0);
    hand_send(5353, 0);
    run(19 * MS);
    CHECK_HEARD("");
    run(110 * MS); /* shared records come 20 to 120 ms later */
    CHECK_HEARD("[" TYPE " 12 90;+a." TYPE " 33! 90;+a." TYPE " 16! 90;+HOST 1! 90;]");
    finish();
}

TEST(subtypes_and_the_list_of_types) {
    begin_live("a");
    hand_begin(0);
    hand_ask("_services._dns-sd._udp.local", MCORE__DNS_PTR, 0);
    hand_send(5353, 0);
    run(1 * S);
    CHECK_HEARD("[_services._dns-sd._udp.local 12 90;]");
    memset(&heard, 0, sizeof heard);
    hand_begin(0);
    hand_ask("_greeter._sub." TYPE, MCORE__DNS_PTR, 0);
    hand_send(5353, 0);
    run(2 * S);
    CHECK_HEARD("[_greeter._sub." TYPE " 12 90;+a." TYPE " 33! 90;+a." TYPE
                " 16! 90;+HOST 1! 90;]");
    finish();
}

TEST(what_is_only_ours_is_said_at_once_and_what_is_not_there_too) {
    begin_live("a");
    hand_begin(0);
    hand_ask("A." TYPE, MCORE__DNS_SRV, 0);
    hand_send(5353, 0);
    run(1);
    CHECK_HEARD("[a." TYPE " 33! 90;+HOST 1! 90;]");
    memset(&heard, 0, sizeof heard);
    hand_begin(0);
    hand_ask("a." TYPE, MCORE__DNS_AAAA, 0);
    hand_send(5353, 0);
    run(1);
    CHECK_HEARD("[a." TYPE " 47! 90;]");
    memset(&heard, 0, sizeof heard);
    hand_begin(0);
    hand_ask("b." TYPE, MCORE__DNS_SRV, 0);
    hand_ask("b.local", MCORE__DNS_ANY, 0);
    hand_send(5353, 0);
    run(5 * S);
    CHECK_HEARD("");
    finish();
}

TEST(what_is_known_is_not_said) {
    begin_live("a");
    hand_begin(0);
    hand_ask(TYPE, MCORE__DNS_PTR, 0);
    hand_point(TYPE, "a." TYPE, 45);
    hand_send(5353, 0);
    run(5 * S);
    CHECK_HEARD("");
    hand_begin(0); /* not known for long */
    hand_ask(TYPE, MCORE__DNS_PTR, 0);
    hand_point(TYPE, "a." TYPE, 44);
    hand_send(5353, 0);
    run(5 * S);
    CHECK_INT(heard.count, 1);
    /* More that is known follows, and is waited for. */
    hand_begin(0);
    hand_ask(TYPE, MCORE__DNS_PTR, 0);
    hand_send(5353, 1);
    run(300 * MS);
    hand_begin(0);
    hand_point(TYPE, "a." TYPE, 90);
    hand_send(5353, 0);
    run(5 * S);
    CHECK_INT(heard.count, 1);
    hand_begin(0);
    hand_ask(TYPE, MCORE__DNS_PTR, 0);
    hand_send(5353, 1);
    run(399 * MS);
    CHECK_INT(heard.count, 1);
    run(101 * MS);
    CHECK_INT(heard.count, 2);
    finish();
}

TEST(a_record_is_said_once_a_second) {
    begin_live("a");
    for (int i = 0; i < 1000; i++) {
        hand_begin(0);
        hand_ask("a." TYPE, MCORE__DNS_SRV, 0);
        hand_send(5353, 0);
        run(10 * MS);
    }
    CHECK(heard.count >= 10 && heard.count <= 11);
    finish();
}

TEST(answers_by_unicast) {
    begin_live("a");
    hand_begin(0); /* all have not heard it for long: everybody gets it */
    hand_ask("a." TYPE, MCORE__DNS_SRV, 1);
    hand_send(5353, 0);
    run(1);
    CHECK_HEARD("[a." TYPE " 33! 90;+HOST 1! 90;]");
    memset(&heard, 0, sizeof heard);
    run(2 * S);
    hand_begin(0);
    hand_ask("a." TYPE, MCORE__DNS_SRV, 1);
    hand_send(5353, 0);
    run(1);
    CHECK_HEARD("unicast [a." TYPE " 33! 90;+HOST 1! 90;]");
    memset(&heard, 0, sizeof heard);
    hand_begin(0); /* a resolver that knows nothing of multicast */
    hand_ask("a." TYPE, MCORE__DNS_SRV, 0);
    hand_send(40000, 0);
    run(1);
    CHECK_HEARD("unicast [Q33 a." TYPE " 33 10;+HOST 1 10;]");
    finish();
}

TEST(a_shared_record_is_rescued) {
    begin_live("a");
    hand_begin(1); /* somebody says goodbye for us */
    hand_point(TYPE, "a." TYPE, 0);
    hand_send(5353, 0);
    run(1 * S);
    CHECK_INT(heard.count, 1);
    CHECK(strstr(heard.text, "[" TYPE " 12 90;"));
    finish();
}

TEST(a_response_from_another_port_is_none) {
    begin_live("a");
    browse(0);
    run(1 * S);
    hand_begin(1);
    hand_point(TYPE, "b." TYPE, 90);
    hand_send(40000, 0);
    run(1 * S);
    memset(&heard, 0, sizeof heard);
    run(3 * S);
    CHECK(!strstr(heard.text, "Q33"));
    hand_begin(1);
    hand_point(TYPE, "b." TYPE, 90);
    hand_send(5353, 0);
    run(200 * MS);
    CHECK(strstr(heard.text, "Q33 Q16")); /* what is missing is asked for */
    finish();
}

/* ---- Asking ---- */

TEST(questions_become_rare) {
    begin(1);
    begin_listening();
    browse(0);
    run(20 * MS);
    CHECK_INT(heard.count, 0);
    run(100 * MS);
    CHECK_HEARD("?[Q12 ]");
    run(1 * S);
    CHECK_INT(heard.count, 2);
    run(2 * S);
    CHECK_INT(heard.count, 3);
    run(86400 * S); /* up to an hour, then each */
    CHECK(heard.count >= 35 && heard.count <= 37);
    finish();
}

TEST(what_somebody_else_asks_need_not_be_asked) {
    begin(1);
    begin_listening();
    browse(0);
    run(150 * MS);
    CHECK_INT(heard.count, 1);
    for (int i = 0; i < 3; i++) {
        run(600 * MS);
        hand_begin(0);
        hand_ask(TYPE, MCORE__DNS_PTR, 0);
        hand_send(5353, 0);
    }
    CHECK_INT(heard.count, 1);
    /* But what it knows and we don't, we have to ask for. */
    run(3 * S);
    hand_begin(0);
    hand_ask(TYPE, MCORE__DNS_PTR, 0);
    hand_point(TYPE, "b." TYPE, 80);
    hand_send(5353, 0);
    run(5 * S);
    CHECK_INT(heard.count, 2);
    finish();
}

TEST(many_instances) {
    begin(4);
    char name[16];
    browse(3);
    for (uint32_t i = 0; i < 240; i++) {
        sprintf(name, "node-%u", (unsigned)i);
        publish(i % 3, name, "\003v=1");
    }
    run(10 * S);
    uint32_t found = 0;
    for (const char *at = net.events[3]; (at = strchr(at, '+')); at++) found++;
    CHECK_INT(found, 240);
    forget();
    run(600 * S); /* all of them are known in all questions, in several packets */
    CHECK_EVENTS(3, "");
    finish();
}

TEST(a_stranger_who_makes_up_names_gets_only_so_far) {
    begin(2);
    char name[64];
    browse(0);
    publish(1, "real", "\003v=1");
    run(5 * S);
    forget();
    for (uint32_t i = 0; i < 5000; i++) {
        hand_begin(1);
        sprintf(name, "fake-%u." TYPE, (unsigned)i);
        hand_point(TYPE, name, 4500);
        hand_send(5353, 0);
    }
    begin_listening();
    run(600 * S);
    /* 512 instances, each asked for 6 times, 30 or so in a packet. */
    CHECK(heard.count < 512 * 6 / 10);
    CHECK_EVENTS(0, "");
    mcore__mdns_service service = service_of("real", "\003v=2");
    CHECK_INT(mcore__mdns_update(net.engines[1], 1, &service, net.now_ns), MCORE_OK);
    publish(1, "more", "\003v=1");
    run(5 * S);
    CHECK_EVENTS(0, "+real:4711 v=2 /7;+more:4711 v=1 /7;");
    finish();
}

/* ---- Bad input, and no memory ---- */

static uint64_t chance(void) {
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

static struct {
    uint32_t count;
    uint8_t bytes[64][1500];
    size_t len[64];
} tape;

static void record_packet(uint32_t from, const mcore__mdns_packet *packet) {
    (void)from;
    if (tape.count == 64 || packet->bytes.len > 1500) return;
    memcpy(tape.bytes[tape.count], packet->bytes.data, packet->bytes.len);
    tape.len[tape.count++] = packet->bytes.len;
}

TEST(damaged_packets_do_no_harm) {
    begin(3);
    memset(&tape, 0, sizeof tape);
    net.sniff = record_packet;
    browse(0);
    publish(1, "a", "\003v=1");
    publish(2, "b", "\003v=1");
    run(20 * S);
    net.sniff = NULL;
    CHECK(tape.count > 10);
    for (int round = 0; round < 20000; round++) {
        uint32_t which = chance() % tape.count;
        uint8_t bytes[1500];
        size_t len = tape.len[which];
        memcpy(bytes, tape.bytes[which], len);
        for (uint64_t flips = chance() % 6; flips > 0; flips--)
            bytes[chance() % len] = (uint8_t)chance();
        if (chance() % 4 == 0) len = chance() % len;
        mcore__mdns_peer peer = peer_of((uint32_t)(chance() % 200));
        for (uint32_t i = 0; i < net.count; i++)
            mcore__mdns_receive(net.engines[i], (mcore_slice){bytes, len}, &peer, net.now_ns);
        if (round % 50 == 0) run(10 * MS);
    }
    run(10000 * S);
    finish();
}

/* Whatever fails, fails without harm. */
static void whole_life(void) {
    mcore__mdns_limits limits;
    memset(&net, 0, sizeof net);
    net.now_ns = 1 * S;
    net.count = 2;
    mcore__mdns_limits_default(&limits);
    uint64_t ids[2] = {0, 0};
    mcore__mdns_service services[] = {service_of("a", "\003v=1"), service_of("b", "\003v=1")};
    for (uint32_t i = 0; i < 2; i++) {
        if (mcore__mdns_engine_create(&limits, i + 1, net.now_ns, &net.engines[i])) continue;
        mcore__mdns_browse(net.engines[i], TEXT("_micro._tcp"), TEXT("addresses"), net.now_ns);
        mcore__mdns_publish(net.engines[i], &services[i], net.now_ns, &ids[i]);
    }
    run(5 * S);
    services[0] = service_of("a", "\003v=2");
    if (net.engines[0]) mcore__mdns_update(net.engines[0], ids[0], &services[0], net.now_ns);
    run(100 * S);
    if (net.engines[0]) mcore__mdns_withdraw(net.engines[0], ids[0], net.now_ns);
    run(5 * S);
    finish();
}

TEST(every_allocation_may_fail) {
    CHECK_INT(mcore_set_allocator(&failing_heap), MCORE_OK);
    heap.made = heap.fail_at = 0;
    whole_life();
    size_t made = heap.made;
    CHECK(made > 20);
    CHECK_INT(heap.live, 0);
    for (size_t at = 1; at <= made; at++) {
        heap.made = 0;
        heap.fail_at = at;
        whole_life();
        CHECK_INT(heap.live, 0);
    }
    heap.fail_at = 0;
    mcore_set_allocator(NULL);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
