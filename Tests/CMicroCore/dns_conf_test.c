/* The files and the messages that a resolver reads. */
#include "test.h"

#include "dns/answer.h"
#include "dns/conf.h"
#include "dns/hosts.h"

#define TEXT(literal) ((mcore_slice){literal, sizeof literal - 1})

static void check_ip(const mcore__ip *ip, const char *text) {
    char out[MCORE__IP_TEXT_BYTES];
    mcore__ip_format(ip, out);
    CHECK_SLICE(mcore_slice_of(out), text);
}

static void check_name(const mcore__dns_name *name, const char *text) {
    char out[MCORE__DNS_NAME_TEXT_BYTES];
    mcore__dns_name_format(name, out);
    CHECK_SLICE(mcore_slice_of(out), text);
}

TEST(resolv_conf_is_read) {
    mcore__dns_conf conf;
    mcore__dns_conf_read(&conf, TEXT("# a comment\n; another\n\nnameserver 10.0.0.53\n"
                                     "nameserver\t fd00::53 \r\nnameserver 10.0.0.54:5353\n"
                                     "nameserver [fe80::1%lo]:54\nnameserver what\nnameserver\n"
                                     "nameserver 10.0.0.5:0\nnameserver [::1\nnameserver [::1]x\n"
                                     "domain old.example\nsearch a.example  b.example.\n"
                                     "options ndots:5 timeout:3 attempts:9 rotate single-request\n"
                                     "options ndots:x\nsortlist 1.2.3.4\nnameserver 10.0.0.55"));
    CHECK_INT(conf.server_count, 5);
    check_ip(&conf.servers[0], "10.0.0.53:53");
    check_ip(&conf.servers[1], "[fd00::53]:53");
    check_ip(&conf.servers[2], "10.0.0.54:5353");
    check_ip(&conf.servers[3], "[fe80::1%lo]:54");
    check_ip(&conf.servers[4], "10.0.0.55:53");
    CHECK_INT(conf.search_count, 2);
    check_name(&conf.search[0], "a.example");
    check_name(&conf.search[1], "b.example");
    CHECK_INT(conf.ndots, 5);
    CHECK_INT(conf.timeout_ms, 3000);
    CHECK_INT(conf.attempts, 5);
    CHECK_INT(conf.rotate, 1);
    mcore__dns_conf_read(&conf, TEXT(""));
    CHECK_INT(conf.server_count, 0);
    CHECK_INT(conf.ndots, 0);
}

TEST(no_file_has_too_much) {
    mcore__dns_conf conf;
    static char text[100000];
    size_t len = 0;
    for (int i = 0; i < 100; i++)
        len += (size_t)sprintf(text + len, "nameserver 10.0.0.%d\n", i + 1);
    len += (size_t)sprintf(text + len, "search");
    for (int i = 0; i < 100; i++) len += (size_t)sprintf(text + len, " d%d.example", i);
    mcore__dns_conf_read(&conf, (mcore_slice){text, len});
    CHECK_INT(conf.server_count, MCORE__DNS_SERVERS_MAX);
    CHECK_INT(conf.search_count, MCORE__DNS_SEARCH_MAX);
    /* Any bytes. */
    uint64_t random = 1;
    for (int round = 0; round < 20000; round++) {
        char bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = "nameserver []:.19%a\n\t#;\\\0\xff options"[(random >> 33) % 35];
        }
        char *exact = malloc(sizeof bytes);
        memcpy(exact, bytes, sizeof bytes);
        mcore_dns_address address;
        int known;
        mcore__dns_conf_read(&conf, (mcore_slice){exact, sizeof bytes});
        mcore__dns_servers_read(&conf, (mcore_slice){exact, sizeof bytes});
        mcore__dns_hosts_find((mcore_slice){exact, sizeof bytes}, TEXT("a"), 3, &address, 1,
                              &known);
        free(exact);
    }
}

TEST(servers_and_domains_as_options) {
    mcore__dns_conf conf;
    CHECK_INT(mcore__dns_servers_read(&conf, TEXT("10.0.0.1, [::1]:54,::2")), MCORE_OK);
    CHECK_INT(conf.server_count, 3);
    check_ip(&conf.servers[1], "[::1]:54");
    check_ip(&conf.servers[2], "[::2]:53");
    static const char *const bad[] = {"",
                                      " , ",
                                      "name",
                                      "10.0.0.1:",
                                      "10.0.0.1:70000",
                                      "10.0.0.1:5x",
                                      "[::1]:",
                                      "[]:53",
                                      "1,2,3",
                                      "::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1 ::1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(mcore__dns_servers_read(&conf, mcore_slice_of(bad[i])), MCORE_EINVAL);
    CHECK_INT(mcore__dns_search_read(&conf, TEXT("a..b")), MCORE_EINVAL);
    CHECK_INT(mcore__dns_search_read(&conf, TEXT(" . ")), MCORE_OK);
    CHECK_INT(conf.search_count, 0);
}

TEST(hosts_are_found) {
    static const char file[] = "127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n"
                               "#10.0.0.9 db\n10.0.0.7  DB.internal  db # db2\nwhat db\n\n"
                               "10.0.0.8 db.internal.";
    mcore_dns_address out[4];
    int known;
    CHECK_INT(mcore__dns_hosts_find(TEXT(file), TEXT("db"), 3, out, 4, &known), 1);
    CHECK(known && out[0].version == 4 && out[0].bytes[3] == 7);
    CHECK_INT(mcore__dns_hosts_find(TEXT(file), TEXT("db.INTERNAL"), 3, out, 4, &known), 2);
    CHECK_INT(out[1].bytes[3], 8);
    CHECK_INT(mcore__dns_hosts_find(TEXT(file), TEXT("db.internal"), 3, out, 1, &known), 1);
    CHECK_INT(
        mcore__dns_hosts_find(TEXT(file), TEXT("db.internal"), MCORE_DNS_IPV6, out, 4, &known), 0);
    CHECK(known);
    CHECK_INT(mcore__dns_hosts_find(TEXT(file), TEXT("db2"), 3, out, 4, &known), 0);
    CHECK(!known);
    CHECK_INT(mcore__dns_hosts_find(TEXT(file), TEXT("localhost"), 3, out, 4, &known), 2);
    CHECK_INT(mcore__dns_hosts_find(TEXT(""), TEXT("localhost"), 3, out, 4, &known), 0);
}

int main(int argc, char **argv) { return test_main(argc, argv); }
