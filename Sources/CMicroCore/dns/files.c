#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "base/memory.h"
#include "dns/hosts.h"
#include "dns/resolver.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESOLV_CONF_BYTES_MAX = 64 << 10, HOSTS_BYTES_MAX = 1 << 20 };

/* ---- One file ---- */

static mcore_status file_init(mcore__dns_file *file, const char *path, size_t bytes_max) {
    file->bytes_max = bytes_max;
    if (!path[0]) return MCORE_OK;
    file->path = mcore__strndup(path, strlen(path));
    return file->path ? MCORE_OK : MCORE_ENOMEM;
}

static void file_free(mcore__dns_file *file) {
    mcore__free(file->path);
    mcore__free(file->text);
    *file = (mcore__dns_file){0};
}

static mcore_slice text_of(const mcore__dns_file *file) {
    return (mcore_slice){file->text ? file->text : "", file->len};
}

/* A file that can't be read, or not whole, is one that is not there. */
static char *read_file(const char *path, size_t bytes_max, size_t *out_len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return NULL;
    char *text = mcore__alloc(bytes_max);
    size_t len = 0;
    ssize_t got = 1;
    while (text && got > 0 && len < bytes_max) {
        got = read(fd, text + len, bytes_max - len);
        if (got > 0) len += (size_t)got;
    }
    close(fd);
    if (!text || got < 0) {
        mcore__free(text);
        return NULL;
    }
    /* What is longer is cut at its last whole line. */
    if (len == bytes_max)
        while (len > 0 && text[len - 1] != '\n') len--;
    char *exact = mcore__realloc(text, len ? len : 1);
    *out_len = len;
    return exact ? exact : text;
}

/* Returns 1 when the text is another one. */
static int file_look(mcore__dns_file *file) {
    struct stat now = {0};
    if (!file->path) return 0;
    if (stat(file->path, &now) < 0 || !S_ISREG(now.st_mode)) memset(&now, 0, sizeof now);
    uint64_t changed_ns =
        (uint64_t)now.st_mtim.tv_sec * MCORE__DNS_NS_PER_S + (uint64_t)now.st_mtim.tv_nsec;
    if (file->device == now.st_dev && file->inode == now.st_ino &&
        file->size == (uint64_t)now.st_size && file->changed_ns == changed_ns)
        return 0;
    file->device = now.st_dev;
    file->inode = now.st_ino;
    file->size = (uint64_t)now.st_size;
    file->changed_ns = changed_ns;
    mcore__free(file->text);
    file->len = 0;
    file->text = now.st_ino ? read_file(file->path, file->bytes_max, &file->len) : NULL;
    return 1;
}

/* ---- Both ---- */

static mcore_status read_fixed(mcore_dns *dns, const mcore_dns_options *options) {
    mcore_status status = MCORE_OK;
    if (options->servers) {
        dns->has_servers = 1;
        status = mcore__dns_servers_read(&dns->fixed, mcore_slice_of(options->servers));
    }
    if (status == MCORE_OK && options->search) {
        dns->has_search = 1;
        status = mcore__dns_search_read(&dns->fixed, mcore_slice_of(options->search));
    }
    return status;
}

mcore_status mcore__dns_files_init(mcore_dns *dns, const mcore_dns_options *options) {
    int is_real = mcore__loop_uv(dns->loop) != NULL;
    const char *resolv_conf = options->resolv_conf, *hosts = options->hosts;
    if (!resolv_conf) resolv_conf = is_real ? "/etc/resolv.conf" : "";
    if (!hosts) hosts = is_real ? "/etc/hosts" : "";
    mcore_status status = read_fixed(dns, options);
    if (status == MCORE_OK)
        status = file_init(&dns->resolv_conf, resolv_conf, RESOLV_CONF_BYTES_MAX);
    if (status == MCORE_OK) status = file_init(&dns->hosts, hosts, HOSTS_BYTES_MAX);
    return status;
}

void mcore__dns_files_free(mcore_dns *dns) {
    file_free(&dns->resolv_conf);
    file_free(&dns->hosts);
}

static uint32_t first_of(uint32_t a, uint32_t b, uint32_t c) { return a ? a : b ? b : c; }

static void configure(mcore_dns *dns) {
    const mcore_dns_options *options = &dns->options;
    mcore__dns_conf *conf = &dns->conf;
    mcore__dns_conf_read(conf, text_of(&dns->resolv_conf));
    if (dns->has_servers) {
        memcpy(conf->servers, dns->fixed.servers, sizeof conf->servers);
        conf->server_count = dns->fixed.server_count;
    } else if (conf->server_count == 0 && mcore__loop_uv(dns->loop)) {
        conf->servers[conf->server_count++] = mcore__ip_v4(127, 0, 0, 1, MCORE__DNS_PORT);
    }
    if (dns->has_search) {
        memcpy(conf->search, dns->fixed.search, sizeof conf->search);
        conf->search_count = dns->fixed.search_count;
    }
    conf->ndots = first_of(options->ndots, conf->ndots, 1);
    conf->timeout_ms = first_of(options->timeout_ms, conf->timeout_ms, 2000);
    conf->attempts = first_of(options->attempts, conf->attempts, 2);
    conf->rotate |= options->rotate;
    dns->server = 0;
}

void mcore__dns_files_look(mcore_dns *dns) {
    uint64_t now_ns = mcore_loop_now_ns(dns->loop);
    if (now_ns < dns->files_due_ns) return;
    int is_first = dns->files_due_ns == 0;
    dns->files_due_ns = now_ns + MCORE__DNS_NS_PER_S;
    if (file_look(&dns->resolv_conf) || is_first) configure(dns);
    file_look(&dns->hosts);
}

/* ---- Names that need no server ---- */

static int is_below(const mcore__dns_name *name, const char *label) {
    mcore__dns_name suffix;
    mcore__dns_name_parse(mcore_slice_of(label), &suffix);
    return mcore__dns_name_ends_with(name, &suffix);
}

static uint32_t loopback(uint32_t families, mcore_dns_address *out, uint32_t room) {
    uint32_t count = 0;
    if ((families & MCORE_DNS_IPV4) && count < room)
        out[count++] = (mcore_dns_address){.version = 4, .bytes = {127, 0, 0, 1}};
    if ((families & MCORE_DNS_IPV6) && count < room)
        out[count++] = (mcore_dns_address){.version = 6, .bytes = {[15] = 1}};
    return count;
}

static uint32_t numeric(const mcore__ip *ip, uint32_t families, mcore_dns_address *out) {
    if (!(families & (ip->version == 4 ? MCORE_DNS_IPV4 : MCORE_DNS_IPV6))) return 0;
    *out = (mcore_dns_address){.version = ip->version, .scope = ip->scope};
    memcpy(out->bytes, ip->bytes, sizeof out->bytes);
    return 1;
}

uint32_t mcore__dns_local(mcore_dns *dns, const mcore__dns_name *name, uint32_t families,
                          mcore_dns_address *out, uint32_t room, int *out_known) {
    char text[MCORE__DNS_NAME_TEXT_BYTES];
    size_t len = mcore__dns_name_format(name, text);
    mcore__ip ip;
    *out_known = 1;
    if (mcore__ip_parse((mcore_slice){text, len}, &ip) == MCORE_OK)
        return numeric(&ip, families, out);
    mcore__dns_files_look(dns);
    uint32_t count = mcore__dns_hosts_find(text_of(&dns->hosts), (mcore_slice){text, len}, families,
                                           out, room, out_known);
    if (*out_known) return count;
    *out_known = 1;
    if (is_below(name, "localhost")) return loopback(families, out, room); /* RFC 6761 */
    *out_known = is_below(name, "invalid");
    return 0;
}
