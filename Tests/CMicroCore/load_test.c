/* Loading plugins from files: what is refused, and why, and what is not. The files are built here,
 * with the compiler that CC names, or cc. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "test.h"

#include "mcore/transport.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/mcore-load-XXXXXX";
static char detail[400];

static const char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void build(const char *name, const char *source) {
    char command[512];
    const char *compiler = getenv("CC") ? getenv("CC") : "cc";
    snprintf(command, sizeof command,
             "%s -std=c11 -shared -fPIC -Iinclude -x c - -o %s && chmod go-w %s", compiler,
             path_of(name), path_of(name));
    FILE *to = popen(command, "w");
    CHECK(to);
    CHECK(fputs(source, to) >= 0);
    CHECK_INT(pclose(to), 0);
}

static mcore_status load(const char *name, const char *sha256, const mcore_transport_plugin **out) {
    mcore_transport_load_options options = {.struct_size = sizeof options, .sha256 = sha256};
    detail[0] = 0;
    return mcore_transport_load(path_of(name), &options, out, detail, sizeof detail);
}

static void refused(const char *name, mcore_status status, const char *why) {
    const mcore_transport_plugin *out;
    mcore_status got = load(name, NULL, &out);
    if (got != status || !strstr(detail, why)) fprintf(stderr, "%d: %s\n", (int)got, detail);
    CHECK_INT(got, status);
    CHECK(strstr(detail, why));
    CHECK(strstr(detail, name));
}

#define TABLE(change)                                                                              \
    "#include \"mcore/transport_plugin.h\"\n"                                                      \
    "static mcore_status create(const mcore_host *h, const mcore_header *o, uint32_t n,"           \
    "    void **s) { (void)h; (void)o; (void)n; *s = 0; return MCORE_OK; }\n"                      \
    "static void destroy(void *s) { (void)s; }\n"                                                  \
    "static mcore_status begin(void *s, const char *a, const mcore_transport_events *e, void *c,"  \
    "    mcore_conn **l) { (void)s; (void)a; (void)e; (void)c; (void)l; return MCORE_EINVAL; }\n"  \
    "static mcore_status dial(void *s, const char *a, uint64_t t, const mcore_transport_events *e" \
    "    , void *c, mcore_conn **l) { (void)t; return begin(s, a, e, c, l); }\n"                   \
    "static mcore_status send(mcore_conn *c, uint64_t o, const mcore_slice *v, uint32_t n) {"      \
    "    (void)c; (void)o; (void)v; (void)n; return MCORE_ECLOSED; }\n"                            \
    "static mcore_status reading(mcore_conn *c, uint32_t e) { (void)c; (void)e; return 0; }\n"     \
    "static void end(mcore_conn *c, uint32_t a) { (void)c; (void)a; }\n"                           \
    "static mcore_transport_plugin table = {sizeof table, 1, \"file\", \"1.2\", 0, create,"        \
    "    destroy, begin, dial, send, reading, end};\n"                                             \
    "const mcore_transport_plugin *mcore_transport_plugin_v1(void) { " change                      \
    " return &table; }\n"

TEST(a_good_one_is_loaded) {
    const mcore_transport_plugin *first = NULL, *again = NULL;
    build("good.so", TABLE(""));
    CHECK_INT(load("good.so", NULL, &first), MCORE_OK);
    CHECK_INT(load("good.so", NULL, &again), MCORE_OK);
    CHECK(first == again);
    CHECK(strcmp(first->name, "file") == 0);
    CHECK(strcmp(first->version, "1.2") == 0);
    mcore_loop *loop;
    void *self = NULL;
    CHECK_INT(mcore_loop_create_simulated(1, &loop), MCORE_OK);
    CHECK_INT(mcore_transport_create(first, mcore_loop_host(loop), NULL, 0, &self), MCORE_OK);
    first->destroy(self);
    mcore_loop_destroy(loop);
    /* By a link, which may be anybody's: what counts is what it leads to. */
    CHECK_INT(symlink(path_of("good.so"), "good-link.so"), 0);
    mcore_status status = mcore_transport_load("good-link.so", NULL, &again, detail, sizeof detail);
    unlink("good-link.so");
    CHECK_INT(status, MCORE_OK);
}

TEST(what_is_no_plugin_is_refused) {
    refused("missing.so", MCORE_ENOENT, "No such file");
    build("nothing.so", "int unrelated;\n");
    refused("nothing.so", MCORE_EPLUGIN, "no mcore_transport_plugin_v1: it is not a transport");
    build("later.so", "const void *mcore_transport_plugin_v2(void) { return 0; }\n");
    refused("later.so", MCORE_EPLUGIN, "has mcore_transport_plugin_v2");
    build("null.so", TABLE("return 0;"));
    refused("null.so", MCORE_EPLUGIN, "returned NULL");
    build("major.so", TABLE("table.abi_major = 3;"));
    refused("major.so", MCORE_EPLUGIN, "major version 3");
    build("short.so", TABLE("table.struct_size = 64;"));
    refused("short.so", MCORE_EPLUGIN, "64 bytes");
    build("slot.so", TABLE("table.set_reading = 0;"));
    refused("slot.so", MCORE_EPLUGIN, "\"set_reading\"");
    build("name.so", TABLE("table.name = \"TCP!\";"));
    refused("name.so", MCORE_EPLUGIN, "no scheme");
    build("taken.so", TABLE("table.name = \"unix\";"));
    refused("taken.so", MCORE_EPLUGIN, "built-in");
    build("needs.so", "void not_there(void); void f(void) { not_there(); }\n");
    refused("needs.so", MCORE_EPLUGIN, "not_there");
    const mcore_transport_plugin *out;
    CHECK_INT(mcore_transport_load("", NULL, &out, detail, sizeof detail), MCORE_EINVAL);
    CHECK_INT(mcore_transport_load(NULL, NULL, &out, NULL, 0), MCORE_EINVAL);
}

static void write_file(const char *name, const void *bytes, size_t len) {
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, bytes, len), len);
    close(fd);
}

TEST(what_is_for_another_machine_is_refused) {
    Elf64_Ehdr head = {.e_type = ET_DYN};
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    write_file("text.so", "#!/bin/sh\n", 10);
    refused("text.so", MCORE_EINVAL, "not a shared object");
    write_file("empty.so", "", 0);
    refused("empty.so", MCORE_EINVAL, "not a shared object");
    write_file("odd.so", &head, sizeof head);
    refused("odd.so", MCORE_EINVAL, "not a shared object");
    head.e_ident[EI_CLASS] = ELFCLASS32;
    write_file("narrow.so", &head, sizeof head);
    refused("narrow.so", MCORE_EINVAL, "32-bit");
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2MSB;
    write_file("order.so", &head, sizeof head);
    refused("order.so", MCORE_EINVAL, "byte order");
    head.e_ident[EI_DATA] = ELFDATA2LSB;
#ifdef __x86_64__
    head.e_machine = EM_AARCH64;
#else
    head.e_machine = EM_X86_64;
#endif
    write_file("machine.so", &head, sizeof head);
    refused("machine.so", MCORE_EINVAL, "this process is");
}

TEST(what_others_can_change_is_refused) {
    static char top[64];
    snprintf(top, sizeof top, "%s", folder);
    build("mine.so", TABLE(""));
    CHECK_INT(chmod(path_of("mine.so"), 0664), 0);
    refused("mine.so", MCORE_EACCES, "can be written to by others");
    CHECK_INT(chmod(path_of("mine.so"), 0646), 0);
    refused("mine.so", MCORE_EACCES, "can be written to by others");
    CHECK_INT(chmod(path_of("mine.so"), 0644), 0);
    CHECK_INT(chmod(top, 0777), 0);
    const mcore_transport_plugin *out;
    CHECK_INT(load("mine.so", NULL, &out), MCORE_EACCES);
    CHECK(strstr(detail, "by others"));
    /* Not even when nobody can replace what is there: it may not have been ours first. */
    CHECK_INT(chmod(top, 01777), 0);
    CHECK_INT(load("mine.so", NULL, &out), MCORE_EACCES);
    CHECK_INT(chmod(top, 0700), 0);
    CHECK_INT(load("mine.so", NULL, &out), MCORE_OK);
    CHECK_INT(load(".", NULL, &out), MCORE_EACCES);
    CHECK(strstr(detail, "is not a file"));
    if (geteuid() == 0) {
        CHECK_INT(chown(path_of("mine.so"), 12345, 0), 0);
        refused("mine.so", MCORE_EACCES, "belongs neither");
        CHECK_INT(chown(path_of("mine.so"), 0, 0), 0);
    }
}

static void digest_of(const char *name, char hex[65]) {
    char command[256];
    snprintf(command, sizeof command, "sha256sum %s", path_of(name));
    FILE *from = popen(command, "r");
    CHECK(from && fread(hex, 1, 64, from) == 64);
    hex[64] = 0;
    pclose(from);
}

TEST(another_digest_is_refused) {
    const mcore_transport_plugin *out;
    char hex[65];
    build("pinned.so", TABLE(""));
    digest_of("pinned.so", hex);
    CHECK_INT(load("pinned.so", hex, &out), MCORE_OK);
    hex[7] = hex[7] == '0' ? '1' : '0';
    CHECK_INT(load("pinned.so", hex, &out), MCORE_EACCES);
    CHECK(strstr(detail, "SHA-256"));
    CHECK_INT(load("pinned.so", "abc", &out), MCORE_EINVAL);
    hex[7] = 'g';
    CHECK_INT(load("pinned.so", hex, &out), MCORE_EINVAL);
}

/* The same as always, however often it is loaded, and with no more memory. */
TEST(loading_again_leaves_nothing_behind) {
    const mcore_transport_plugin *first, *out;
    build("often.so", TABLE(""));
    CHECK_INT(load("often.so", NULL, &first), MCORE_OK);
    for (int i = 0; i < 1000; i++) {
        CHECK_INT(load("often.so", NULL, &out), MCORE_OK);
        CHECK(out == first);
    }
}

int main(int argc, char **argv) {
    if (!mkdtemp(folder)) return 1;
    int failed = test_main(argc, argv);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 || failed;
}
