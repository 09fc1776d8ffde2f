/* The transport "unix": a path, or "@name" for a name in Linux's abstract space.
 *
 * The socket's file has mode 0600. A file that a dead process left behind is replaced; one behind
 * which somebody listens is not. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "loop/os_status.h"
#include "mcore/version.h"
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 4096, LOCK_TRIES = 200, LOCK_WAIT_MS = 5 };

static int is_abstract(const mcore__address *address) { return address->u.local.sun_path[0] == 0; }

static mcore_status parse(const char *text, mcore__address *out) {
    size_t len = strlen(text);
    int abstract = text[0] == '@';
    /* A path keeps its terminating 0. */
    if (len == (abstract ? 1u : 0u) || len + !abstract > sizeof out->u.local.sun_path)
        return MCORE_EINVAL;
    memset(out, 0, sizeof *out);
    out->u.local.sun_family = AF_UNIX;
    memcpy(out->u.local.sun_path, text, len);
    if (abstract) out->u.local.sun_path[0] = 0;
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
    return MCORE_OK;
}

static size_t address_text(const mcore__address *address, char out[MCORE__ADDRESS_TEXT]) {
    size_t head = offsetof(struct sockaddr_un, sun_path);
    if (address->len <= head) return 0;
    const char *path = address->u.local.sun_path;
    size_t len = address->len - head;
    if (!is_abstract(address)) len = strnlen(path, len);
    memcpy(out, path, len);
    if (is_abstract(address)) out[0] = '@';
    return len;
}

/* ---- The file of a listener ---- */

/* Between finding out that a file is stale and replacing it, and between bind and listen of
 * another process, nobody may interfere: all of it happens under a lock on the folder. Ours last
 * for microseconds; whoever holds one for a second means something else by it, and is ignored.
 * `*out_fd` is -1 when the folder can't be opened, and bind will say why. */
static mcore_status lock_folder(const char *path, int *out_fd) {
    char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(copy, sizeof copy, "%s", path);
    *out_fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out_fd < 0) return errno == EMFILE || errno == ENFILE ? MCORE_EMFILE : MCORE_OK;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(*out_fd, LOCK_EX | LOCK_NB) == 0) break;
        if (errno != EWOULDBLOCK && errno != EINTR) break; /* no locks on this file system */
        nanosleep(&(struct timespec){.tv_nsec = LOCK_WAIT_MS * 1000000L}, NULL);
    }
    return MCORE_OK;
}

/* 1 when the file is a socket behind which nobody listens. */
static int is_stale(const mcore__address *address) {
    struct stat info;
    if (lstat(address->u.local.sun_path, &info) < 0 || !S_ISSOCK(info.st_mode)) return 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    int refused = connect(fd, &address->u.any, address->len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static mcore_status bind_and_listen(int fd, const mcore__address *address) {
    /* On Linux the file gets the mode of the socket; the umask only takes away from it. */
    if (fchmod(fd, S_IRUSR | S_IWUSR) < 0) return mcore__status_of_errno(errno);
    int bound = bind(fd, &address->u.any, address->len);
    if (bound < 0 && errno == EADDRINUSE && !is_abstract(address)) {
        if (!is_stale(address)) return MCORE_EADDRINUSE;
        if (unlink(address->u.local.sun_path) < 0) return mcore__status_of_errno(errno);
        bound = bind(fd, &address->u.any, address->len);
    }
    if (bound < 0) return mcore__status_of_errno(errno);
    if (listen(fd, BACKLOG) < 0) {
        mcore_status status = mcore__status_of_errno(errno);
        if (!is_abstract(address)) unlink(address->u.local.sun_path);
        return status;
    }
    return MCORE_OK;
}

static mcore_status open_listener(const mcore__address *address, int *out_fd) {
    int folder = -1;
    if (!is_abstract(address)) {
        mcore_status status = lock_folder(address->u.local.sun_path, &folder);
        if (status < 0) return status;
    }
    mcore_status status = MCORE_OK;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        status = mcore__status_of_errno(errno);
    else
        status = bind_and_listen(fd, address);
    if (folder >= 0) close(folder);
    if (status < 0 && fd >= 0) close(fd);
    *out_fd = fd;
    return status;
}

/* Only our own file goes: another one may have come into its place. */
static void unlisten(mcore_conn *listener) {
    struct stat info;
    if (is_abstract(&listener->address)) return;
    if (lstat(listener->address.u.local.sun_path, &info) < 0) return;
    if (info.st_ino == listener->inode && info.st_dev == listener->device)
        unlink(listener->address.u.local.sun_path);
}

static const mcore__socket_kind unix_kind = {.text = address_text, .unlisten = unlisten};

static mcore_status unix_listen(void *self, const char *text, const mcore_transport_events *ev,
                                void *ctx, mcore_conn **out_listener) {
    mcore__address address;
    mcore_status status = parse(text, &address);
    if (status < 0) return status;
    int fd;
    status = open_listener(&address, &fd);
    if (status < 0) return status;
    status = mcore__socket_listen(self, fd, &address, ev, ctx, out_listener);
    struct stat info;
    if (status < 0) {
        close(fd);
        if (!is_abstract(&address)) unlink(address.u.local.sun_path);
    } else if (!is_abstract(&address) && lstat(address.u.local.sun_path, &info) == 0) {
        (*out_listener)->inode = info.st_ino;
        (*out_listener)->device = info.st_dev;
    }
    return status;
}

static mcore_status unix_create(const mcore_host *host, const mcore_header *options,
                                uint32_t option_count, void **out_self) {
    return mcore__sockets_create(host, &unix_kind, options, option_count, out_self);
}

static mcore_status unix_connect(void *self, const char *text, uint64_t timeout_ms,
                                 const mcore_transport_events *ev, void *ctx,
                                 mcore_conn **out_conn) {
    mcore__address address;
    mcore_status status = parse(text, &address);
    if (status < 0) return status;
    status = mcore__socket_connect(self, timeout_ms, ev, ctx, out_conn);
    if (status < 0) return status;
    (*out_conn)->dial->addresses[0] = address;
    (*out_conn)->dial->count = 1;
    mcore__socket_dial(*out_conn);
    return MCORE_OK;
}

static const mcore_transport_plugin unix_plugin = {
    .struct_size = sizeof(mcore_transport_plugin),
    .abi_major = MCORE_TRANSPORT_ABI_MAJOR,
    .name = "unix",
    .version = MCORE_VERSION_TEXT,
    .create = unix_create,
    .destroy = mcore__sockets_destroy,
    .listen = unix_listen,
    .connect = unix_connect,
    .send = mcore__socket_send,
    .set_reading = mcore__socket_set_reading,
    .close = mcore__socket_close,
    .peer_name = mcore__socket_peer_name,
    .detach = mcore__socket_detach,
    .adopt = mcore__socket_adopt,
    .discard = mcore__socket_discard,
};

const mcore_transport_plugin *mcore_transport_unix(void) { return &unix_plugin; }
