#include "dns/hosts.h"

#include "dns/words.h"
#include "loop/ip.h"

#include <strings.h>

#define BLANKS " \t\r"

static int has_name(mcore_slice line, mcore_slice name) {
    mcore_slice word;
    while (mcore__take_word(&line, BLANKS, &word)) {
        const char *text = word.data;
        if (word.len > 1 && text[word.len - 1] == '.') word.len--;
        if (word.len == name.len && strncasecmp(text, name.data, name.len) == 0) return 1;
    }
    return 0;
}

uint32_t mcore__dns_hosts_find(mcore_slice file, mcore_slice name, uint32_t families,
                               mcore_dns_address *out, uint32_t room, int *out_known) {
    uint32_t count = 0;
    mcore_slice line, word, comment;
    *out_known = 0;
    while (mcore__take_until(&file, '\n', &line)) {
        comment = line;
        if (!mcore__take_until(&comment, '#', &line)) continue;
        mcore__ip ip;
        if (!mcore__take_word(&line, BLANKS, &word) || !has_name(line, name)) continue;
        if (mcore__ip_parse(word, &ip) < 0) continue;
        *out_known = 1;
        if (count == room || !(families & (ip.version == 4 ? MCORE_DNS_IPV4 : MCORE_DNS_IPV6)))
            continue;
        out[count] = (mcore_dns_address){.version = ip.version, .scope = ip.scope};
        memcpy(out[count++].bytes, ip.bytes, sizeof ip.bytes);
    }
    return count;
}
