/* resolv.conf, hosts, and addresses as text: what is taken of them is good, and is the same when it
 * is written again. */
#include "fuzz.h"

#include "dns/conf.h"
#include "dns/hosts.h"
#include "dns/words.h"
#include "net/host_port.h"

#include <stdio.h>
#include <stdlib.h>

static void check_servers(const mcore__dns_conf *conf) {
    CHECK(conf->server_count <= MCORE__DNS_SERVERS_MAX);
    for (uint32_t i = 0; i < conf->server_count; i++) {
        char text[MCORE__IP_TEXT_BYTES];
        mcore__dns_conf again = {0};
        const mcore__ip *server = &conf->servers[i];
        size_t len = mcore__ip_format(server, text);
        CHECK(server->version == 4 || server->version == 6);
        CHECK(server->port != 0 && len < sizeof text && strlen(text) == len);
        CHECK(mcore__dns_servers_read(&again, (mcore_slice){text, len}) == MCORE_OK);
        CHECK(again.server_count == 1 && mcore__ip_equal(&again.servers[0], server));
    }
}

static void check_search(const mcore__dns_conf *conf) {
    CHECK(conf->search_count <= MCORE__DNS_SEARCH_MAX);
    for (uint32_t i = 0; i < conf->search_count; i++) {
        char text[MCORE__DNS_NAME_TEXT_BYTES];
        mcore__dns_name again;
        size_t len = mcore__dns_name_format(&conf->search[i], text);
        CHECK(mcore__dns_name_label_count(&conf->search[i]) > 0);
        CHECK(mcore__dns_name_parse((mcore_slice){text, len}, &again) == MCORE_OK);
        CHECK(mcore__dns_name_identical(&again, &conf->search[i]));
    }
}

static void check_conf(mcore_slice text) {
    static mcore__dns_conf conf;
    mcore__dns_conf_read(&conf, text);
    check_servers(&conf);
    check_search(&conf);
    CHECK(conf.ndots <= 15 && conf.timeout_ms <= 30000 && conf.attempts <= 5);
    mcore_status status = mcore__dns_servers_read(&conf, text);
    CHECK(status == MCORE_OK ? conf.server_count > 0 : status == MCORE_EINVAL);
    check_servers(&conf);
    status = mcore__dns_search_read(&conf, text);
    CHECK(status == MCORE_OK || status == MCORE_EINVAL);
    check_search(&conf);
}

/* The addresses of the second word of the file, whatever that is. */
static void check_hosts(mcore_slice file) {
    enum { ROOM = 4 };
    mcore_dns_address all[ROOM], some[ROOM];
    mcore_slice rest = file, name;
    int known, known_too;
    if (!mcore__take_word(&rest, " \t\r\n", &name) || !mcore__take_word(&rest, " \t\r\n", &name))
        return;
    uint32_t count =
        mcore__dns_hosts_find(file, name, MCORE_DNS_IPV4 | MCORE_DNS_IPV6, all, ROOM, &known);
    CHECK(count <= ROOM && (known || count == 0));
    for (uint32_t i = 0; i < count; i++) CHECK(all[i].version == 4 || all[i].version == 6);
    uint32_t fewer = mcore__dns_hosts_find(file, name, MCORE_DNS_IPV6, some, 1, &known_too);
    CHECK(fewer <= 1 && known_too == known);
    CHECK(fewer == 0 || some[0].version == 6);
}

static void check_host_port(const char *text) {
    mcore__host_port parsed, again;
    char written[sizeof parsed.host + 16];
    if (mcore__host_port_parse(text, &parsed) != MCORE_OK) return;
    const char *format = strchr(parsed.host, ':') ? "[%s]:%u" : "%s:%u";
    snprintf(written, sizeof written, format, parsed.host, (unsigned)parsed.port);
    CHECK(mcore__host_port_parse(*text == '[' ? text : written, &again) == MCORE_OK);
    CHECK(strcmp(again.host, parsed.host) == 0 && again.port == parsed.port);
}

FUZZ(dns_files) {
    mcore_slice input = {bytes, len};
    char *text = malloc(len + 1);
    CHECK(text);
    if (len) memcpy(text, bytes, len);
    text[len] = 0;
    check_conf(input);
    check_hosts(input);
    check_host_port(text);
    free(text);
}
