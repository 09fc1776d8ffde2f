#include "dns/conf.h"

#include "dns/words.h"

#define BLANKS " \t\r"

enum { NDOTS_MAX = 15, TIMEOUT_S_MAX = 30, ATTEMPTS_MAX = 5 }; /* as resolv.conf(5) has them */

/* The number behind "name:", at most `most`; 0 when the word is another one. */
static uint32_t option(mcore_slice word, const char *name, uint32_t most) {
    size_t len = strlen(name);
    const char *text = word.data;
    uint32_t value = 0;
    if (word.len <= len || memcmp(text, name, len) != 0) return 0;
    for (size_t i = len; i < word.len; i++) {
        if (text[i] < '0' || text[i] > '9') return 0;
        value = value * 10 + (uint32_t)(text[i] - '0');
        if (value > most) value = most;
    }
    return value;
}

static void read_option(mcore__dns_conf *conf, mcore_slice word) {
    uint32_t value;
    if ((value = option(word, "ndots:", NDOTS_MAX))) conf->ndots = value;
    if ((value = option(word, "timeout:", TIMEOUT_S_MAX))) conf->timeout_ms = value * 1000;
    if ((value = option(word, "attempts:", ATTEMPTS_MAX))) conf->attempts = value;
    if (mcore__word_is(word, "rotate")) conf->rotate = 1;
}

static mcore_status read_port(mcore_slice text, uint16_t *out) {
    uint32_t port = 0;
    const char *digits = text.data;
    if (text.len == 0 || text.len > 5) return MCORE_EINVAL;
    for (size_t i = 0; i < text.len; i++) {
        if (digits[i] < '0' || digits[i] > '9') return MCORE_EINVAL;
        port = port * 10 + (uint32_t)(digits[i] - '0');
    }
    if (port == 0 || port > UINT16_MAX) return MCORE_EINVAL;
    *out = (uint16_t)port;
    return MCORE_OK;
}

/* Sets `host` and `port`, each as text, the port empty when there is none. */
static mcore_status split_server(mcore_slice word, mcore_slice *host, mcore_slice *port) {
    const char *text = word.data, *end = text + word.len;
    const char *colon = memchr(text, ':', word.len);
    *host = word;
    *port = (mcore_slice){end, 0};
    if (text[0] == '[') {
        const char *close = memchr(text, ']', word.len);
        if (!close) return MCORE_EINVAL;
        *host = (mcore_slice){text + 1, (size_t)(close - text - 1)};
        colon = close + 1;
        if (colon == end) return MCORE_OK;
        if (*colon != ':' || colon + 1 == end) return MCORE_EINVAL;
    } else if (!colon || memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
        return MCORE_OK; /* IPv6 without a port */
    } else {
        host->len = (size_t)(colon - text);
        if (colon + 1 == end) return MCORE_EINVAL;
    }
    *port = (mcore_slice){colon + 1, (size_t)(end - colon - 1)};
    return MCORE_OK;
}

static mcore_status read_server(mcore_slice word, mcore__ip *out) {
    mcore_slice host, port_text;
    uint16_t port = MCORE__DNS_PORT;
    mcore_status status = split_server(word, &host, &port_text);
    if (status == MCORE_OK && port_text.len > 0) status = read_port(port_text, &port);
    if (status == MCORE_OK) status = mcore__ip_parse(host, out);
    if (status == MCORE_OK) out->port = port;
    return status;
}

mcore_status mcore__dns_servers_read(mcore__dns_conf *conf, mcore_slice text) {
    mcore_slice word;
    conf->server_count = 0;
    while (mcore__take_word(&text, BLANKS ",\n", &word)) {
        if (conf->server_count == MCORE__DNS_SERVERS_MAX) return MCORE_EINVAL;
        mcore_status status = read_server(word, &conf->servers[conf->server_count]);
        if (status < 0) return status;
        conf->server_count++;
    }
    return conf->server_count ? MCORE_OK : MCORE_EINVAL;
}

mcore_status mcore__dns_search_read(mcore__dns_conf *conf, mcore_slice text) {
    mcore_slice word;
    conf->search_count = 0;
    while (mcore__take_word(&text, BLANKS "\n", &word)) {
        if (conf->search_count == MCORE__DNS_SEARCH_MAX) return MCORE_EINVAL;
        mcore__dns_name *domain = &conf->search[conf->search_count];
        mcore_status status = mcore__dns_name_parse(word, domain);
        if (status < 0) return status;
        if (domain->len > 1) conf->search_count++;
    }
    return MCORE_OK;
}

static void read_line(mcore__dns_conf *conf, mcore_slice line) {
    mcore_slice word;
    if (!mcore__take_word(&line, BLANKS, &word)) return;
    if (mcore__word_is(word, "nameserver")) {
        if (conf->server_count == MCORE__DNS_SERVERS_MAX) return;
        if (!mcore__take_word(&line, BLANKS, &word)) return;
        if (read_server(word, &conf->servers[conf->server_count]) == MCORE_OK) conf->server_count++;
    } else if (mcore__word_is(word, "search") || mcore__word_is(word, "domain")) {
        (void)mcore__dns_search_read(conf, line); /* the last line counts */
    } else if (mcore__word_is(word, "options")) {
        while (mcore__take_word(&line, BLANKS, &word)) read_option(conf, word);
    }
}

void mcore__dns_conf_read(mcore__dns_conf *conf, mcore_slice text) {
    mcore_slice line;
    *conf = (mcore__dns_conf){0};
    while (mcore__take_until(&text, '\n', &line)) {
        const char *first = line.data;
        if (line.len > 0 && first[0] != '#' && first[0] != ';') read_line(conf, line);
    }
}
