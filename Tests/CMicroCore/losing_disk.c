#include "losing_disk.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SECTOR = 512, NAMES = 16, PATH_BYTES = 128, REGIONS = 64, REGION_BYTES = 32768 };

typedef struct bytes {
    uint8_t *data;
    size_t len, capacity;
} bytes;

typedef struct change {
    size_t offset;
    size_t len;
    uint8_t *data; /* NULL: the file was cut or grown to `offset` */
} change;

typedef struct file {
    bytes cached, durable;
    change *changes; /* what `cached` has had and `durable` not, in order */
    size_t change_count, change_capacity;
    size_t references;     /* of names and handles */
    uint64_t failed_syncs; /* each handle is told of each once */
    int is_doubtful;       /* what was to be synced then is in memory still */
    int shared, reserved, exclusive;
    uint8_t *regions[REGIONS];
    int shm_users;
    int shm_shared[SQLITE_SHM_NLOCK], shm_exclusive[SQLITE_SHM_NLOCK];
} file;

/* What a name stood for since its folder was synced, each of them counted once; NULL: nothing. The
 * last one is what it stands for now, the first one what it stands for durably. */
typedef struct name {
    char path[PATH_BYTES];
    file **files;
    size_t count, capacity;
} name;

typedef struct handle {
    sqlite3_file base;
    file *file;
    uint64_t boot, failed_syncs;
    int level;
    int syncs_folder; /* with its first sync: so SQLite does with a new log */
    int uses_shm;
    char deleted[PATH_BYTES];
    uint16_t shm_shared, shm_exclusive;
} handle;

disk_state disk;

static struct {
    sqlite3_vfs vfs, *previous;
    name names[NAMES];
    uint64_t boot, random;
    int is_inserted;
    int error; /* errno of what failed last */
} own;

static void must(int condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "losing_disk: %s\n", what);
    abort();
}

uint64_t disk_random(void) {
    own.random = own.random * 6364136223846793005u + 1442695040888963407u;
    return own.random >> 33;
}

static size_t below(size_t count) { return (size_t)disk_random() % count; }

static int fail_with(int error, int code) {
    own.error = error;
    return code;
}

/* Counts down; returns whether it happens now. */
static int is_due(int64_t *counter) {
    if (*counter < 0) return 0;
    return (*counter)-- == 0;
}

/* ---- Bytes ---- */

static void resize(bytes *b, size_t len) {
    if (len > b->capacity) {
        b->capacity = len * 2;
        b->data = realloc(b->data, b->capacity);
        must(b->data != NULL, "no memory");
    }
    if (len > b->len) memset(b->data + b->len, 0, len - b->len);
    b->len = len;
}

static void copy(bytes *to, const bytes *from) {
    resize(to, from->len);
    if (from->len) memcpy(to->data, from->data, from->len);
}

static void apply(bytes *b, const change *c) {
    if (!c->data) {
        resize(b, c->offset);
        return;
    }
    if (c->offset + c->len > b->len) resize(b, c->offset + c->len);
    memcpy(b->data + c->offset, c->data, c->len);
}

/* ---- Files ---- */

static void forget_changes(file *f) {
    for (size_t i = 0; i < f->change_count; i++) free(f->changes[i].data);
    f->change_count = 0;
}

static void forget_shm(file *f) {
    for (size_t i = 0; i < REGIONS; i++) {
        if (!f->regions[i]) continue;
        free(f->regions[i]);
        f->regions[i] = NULL;
        disk.used -= REGION_BYTES;
    }
    memset(f->shm_shared, 0, sizeof f->shm_shared);
    memset(f->shm_exclusive, 0, sizeof f->shm_exclusive);
}

static file *make_file(void) {
    file *f = calloc(1, sizeof *f);
    must(f != NULL, "no memory");
    return f;
}

static void release(file *f) {
    if (!f || --f->references > 0) return;
    disk.used -= f->cached.len;
    forget_changes(f);
    forget_shm(f);
    free(f->changes);
    free(f->cached.data);
    free(f->durable.data);
    free(f);
}

static void add_change(file *f, size_t offset, const void *data, size_t len) {
    if (f->change_count == f->change_capacity) {
        f->change_capacity = f->change_capacity ? f->change_capacity * 2 : 64;
        f->changes = realloc(f->changes, f->change_capacity * sizeof *f->changes);
        must(f->changes != NULL, "no memory");
    }
    change c = {.offset = offset, .len = len};
    if (data) {
        c.data = malloc(len ? len : 1);
        must(c.data != NULL, "no memory");
        memcpy(c.data, data, len);
    }
    f->changes[f->change_count++] = c;
    disk.used -= f->cached.len;
    apply(&f->cached, &c);
    disk.used += f->cached.len;
}

static void sync_file(file *f) {
    for (size_t i = 0; i < f->change_count; i++) apply(&f->durable, &f->changes[i]);
    forget_changes(f);
}

/* ---- Names ---- */

static name *named(const char *path, int makes) {
    name *unused = NULL;
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(own.names[i].path, path) == 0) return &own.names[i];
        if (!unused && !*own.names[i].path) unused = &own.names[i];
    }
    if (!makes) return NULL;
    must(unused && strlen(path) < PATH_BYTES, "too many files, or too long a name");
    snprintf(unused->path, sizeof unused->path, "%s", path);
    return unused;
}

static file *file_of(const name *n) { return n && n->count ? n->files[n->count - 1] : NULL; }

static void rename_to(name *n, file *f) {
    /* A name that is new has stood for nothing. */
    size_t needed = n->count ? n->count + 1 : 2;
    if (needed > n->capacity) {
        n->capacity = needed * 2;
        n->files = realloc(n->files, n->capacity * sizeof(file *));
        must(n->files != NULL, "no memory");
    }
    if (n->count == 0) n->files[n->count++] = NULL;
    n->files[n->count++] = f;
    if (f) f->references++;
}

static void keep_name(name *n, size_t kept) {
    for (size_t i = 0; i < n->count; i++)
        if (i != kept) release(n->files[i]);
    n->files[0] = n->files[kept];
    n->count = 1;
}

static void sync_folder(void) {
    for (size_t i = 0; i < NAMES; i++)
        if (own.names[i].count) keep_name(&own.names[i], own.names[i].count - 1);
}

/* ---- What is left of a file ---- */

/* A part of a change that lies in one sector. */
typedef struct piece {
    const change *of;
    size_t offset, len;
} piece;

typedef enum fate {
    NOTHING,    /* no piece is there */
    EVERYTHING, /* all are */
    UNTIL,      /* of each sector those up to some moment */
    ANY         /* some, and they were not written in order */
} fate;

static size_t cut_up(const file *f, piece **out) {
    size_t count = 0, at = 0;
    for (size_t i = 0; i < f->change_count; i++) count += f->changes[i].len / SECTOR + 2;
    piece *pieces = malloc((count ? count : 1) * sizeof *pieces);
    must(pieces != NULL, "no memory");
    for (size_t i = 0; i < f->change_count; i++) {
        const change *c = &f->changes[i];
        if (!c->data) pieces[at++] = (piece){c, c->offset, 0};
        for (size_t done = 0; done < c->len;) {
            size_t offset = c->offset + done, len = SECTOR - offset % SECTOR;
            if (len > c->len - done) len = c->len - done;
            pieces[at++] = (piece){c, offset, len};
            done += len;
        }
    }
    *out = pieces;
    return at;
}

/* Changes of the length stay where they are: what comes before one is written before it. */
static void shuffle(piece *pieces, size_t count) {
    size_t first = 0;
    for (size_t i = 0; i <= count; i++) {
        if (i < count && pieces[i].of->data) continue;
        for (size_t at = i; at > first + 1; at--) {
            size_t other = first + below(at - first);
            piece swapped = pieces[at - 1];
            pieces[at - 1] = pieces[other];
            pieces[other] = swapped;
        }
        first = i + 1;
    }
}

static void lose_piece(bytes *b, const piece *p) {
    size_t end = p->offset + p->len, before = b->len;
    if (!p->of->data || end <= before || below(2)) return;
    resize(b, end); /* the length is there, and what was to be there not */
    if (below(2))
        for (size_t i = before; i < end; i++) b->data[i] = (uint8_t)disk_random();
}

static void keep_piece(bytes *b, const piece *p) {
    change part = {.offset = p->offset, .len = p->len};
    if (p->of->data) part.data = p->of->data + (p->offset - p->of->offset);
    apply(b, &part);
}

static void lose(file *f, fate how) {
    if (how == NOTHING || how == EVERYTHING) {
        if (how == EVERYTHING) sync_file(f);
        forget_changes(f);
        return;
    }
    piece *pieces;
    size_t count = cut_up(f, &pieces), sectors = 1, chance = 1 + below(8);
    for (size_t i = 0; i < count; i++)
        if (pieces[i].offset / SECTOR >= sectors) sectors = pieces[i].offset / SECTOR + 1;
    uint8_t *is_late = calloc(1, sectors);
    must(is_late != NULL, "no memory");
    if (how == ANY) shuffle(pieces, count);
    for (size_t i = 0; i < count; i++) {
        uint8_t *late = &is_late[pieces[i].offset / SECTOR];
        int is_lost = (how == UNTIL && *late) || below(9) >= chance;
        *late |= (uint8_t)is_lost;
        if (is_lost)
            lose_piece(&f->durable, &pieces[i]);
        else
            keep_piece(&f->durable, &pieces[i]);
    }
    free(is_late);
    free(pieces);
    forget_changes(f);
}

/* ---- Power ---- */

void disk_cut(void) {
    disk.is_dead = 1;
    for (size_t i = 0; i < NAMES; i++) {
        name *n = &own.names[i];
        if (!n->count) continue;
        keep_name(n, below(n->count));
        if (n->files[0]) lose(n->files[0], (fate)below(4));
    }
}

void disk_kill(void) { disk.is_dead = 2; }

static void put_on(file *f, file *from, int was_killed) {
    copy(&f->durable, &from->durable);
    copy(&f->cached, was_killed ? &from->cached : &from->durable);
    disk.used += f->cached.len;
    if (!was_killed) return;
    f->is_doubtful = from->is_doubtful;
    f->changes = from->changes;
    f->change_count = from->change_count;
    f->change_capacity = from->change_capacity;
    from->changes = NULL;
    from->change_count = from->change_capacity = 0;
}

static void expect_nothing(void) {
    disk.operations_to_cut = -1;
    disk.writes_to_failure = disk.reads_to_failure = disk.syncs_to_failure = -1;
    disk.capacity = SIZE_MAX;
}

void disk_reboot(void) {
    int was_killed = disk.is_dead == 2;
    must(disk.is_dead, "it is not off");
    for (size_t i = 0; i < NAMES; i++) {
        name *n = &own.names[i];
        /* The files that handles of before have are theirs alone from now on. */
        for (size_t j = 0; j < n->count; j++) {
            file *from = n->files[j];
            if (!from) continue;
            n->files[j] = make_file();
            n->files[j]->references = 1;
            put_on(n->files[j], from, was_killed);
            release(from);
        }
    }
    own.boot++;
    disk.is_dead = 0;
    expect_nothing();
}

/* Something that reaches the disk is about to happen. Returns whether it does not: the power is
 * gone now, or was before. */
static int is_cut(void) {
    if (disk.is_dead) return 1;
    disk.operations++;
    if (!is_due(&disk.operations_to_cut)) return 0;
    disk_cut();
    return 1;
}

static int is_gone(const handle *h) {
    if (!disk.is_dead && h->boot == own.boot) return 0;
    own.error = EIO;
    return 1;
}

/* ---- Reading and writing ---- */

static int disk_read(sqlite3_file *base, void *out, int amount, sqlite3_int64 offset) {
    handle *h = (handle *)base;
    if (is_gone(h)) return SQLITE_IOERR_READ;
    if (is_due(&disk.reads_to_failure)) {
        disk.failed++;
        return fail_with(EIO, SQLITE_IOERR_READ);
    }
    const bytes *cached = &h->file->cached;
    size_t available = (size_t)offset < cached->len ? cached->len - (size_t)offset : 0;
    size_t len = available < (size_t)amount ? available : (size_t)amount;
    if (len) memcpy(out, cached->data + offset, len);
    if (len == (size_t)amount) return SQLITE_OK;
    memset((uint8_t *)out + len, 0, (size_t)amount - len);
    return SQLITE_IOERR_SHORT_READ;
}

/* Cut within this write: a part of it may be there, and where it ends there may be anything. */
static void tear(file *f, const uint8_t *data, size_t amount, size_t offset) {
    size_t len = 1 + below(amount), end = len + below(SECTOR);
    if (end > amount) end = amount;
    uint8_t *torn = malloc(amount);
    must(torn != NULL, "no memory");
    memcpy(torn, data, len);
    for (size_t i = len; i < end; i++) torn[i] = (uint8_t)disk_random();
    add_change(f, offset, torn, below(2) ? end : len);
    free(torn);
    disk.torn++;
}

static int disk_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 offset) {
    handle *h = (handle *)base;
    if (is_gone(h)) return SQLITE_IOERR_WRITE;
    if (disk.operations_to_cut == 0 && below(2))
        tear(h->file, data, (size_t)amount, (size_t)offset);
    if (is_cut()) return SQLITE_IOERR_WRITE;
    size_t end = (size_t)(offset + amount), len = (size_t)amount, before = h->file->cached.len;
    int code = SQLITE_OK;
    if (end > before && end - before > disk.capacity - disk.used) {
        size_t room = before + (disk.capacity - disk.used);
        len = room > (size_t)offset ? room - (size_t)offset : 0;
        disk.refused++;
        code = fail_with(ENOSPC, SQLITE_FULL);
    } else if (is_due(&disk.writes_to_failure)) {
        len = below(len + 1);
        disk.failed++;
        code = fail_with(EIO, SQLITE_IOERR_WRITE);
    }
    if (len) add_change(h->file, (size_t)offset, data, len);
    return code;
}

static int disk_truncate(sqlite3_file *base, sqlite3_int64 size) {
    handle *h = (handle *)base;
    if (is_gone(h) || is_cut()) return SQLITE_IOERR_TRUNCATE;
    add_change(h->file, (size_t)size, NULL, 0);
    return SQLITE_OK;
}

/* What failed to be synced is read from the disk from now on. */
static void forget_memory(file *f) {
    if (!f->is_doubtful) return;
    f->is_doubtful = 0;
    disk.used -= f->cached.len;
    copy(&f->cached, &f->durable);
    for (size_t i = 0; i < f->change_count; i++) apply(&f->cached, &f->changes[i]);
    disk.used += f->cached.len;
}

static void fail_sync(file *f) {
    lose(f, (fate)below(4));
    f->is_doubtful = 1;
    f->failed_syncs++;
}

static int disk_sync(sqlite3_file *base, int flags) {
    (void)flags;
    handle *h = (handle *)base;
    if (is_gone(h) || is_cut()) return SQLITE_IOERR_FSYNC;
    if (is_due(&disk.syncs_to_failure)) {
        fail_sync(h->file);
        disk.failed++;
    }
    if (below(2)) forget_memory(h->file); /* it is needed for something else */
    if (h->failed_syncs != h->file->failed_syncs) {
        h->failed_syncs = h->file->failed_syncs;
        return fail_with(EIO, SQLITE_IOERR_FSYNC);
    }
    sync_file(h->file);
    if (!h->syncs_folder) return SQLITE_OK;
    if (is_cut()) return SQLITE_IOERR_FSYNC;
    h->syncs_folder = 0;
    sync_folder();
    return SQLITE_OK;
}

static int disk_size(sqlite3_file *base, sqlite3_int64 *out_size) {
    handle *h = (handle *)base;
    if (is_gone(h)) return SQLITE_IOERR_FSTAT;
    *out_size = (sqlite3_int64)h->file->cached.len;
    return SQLITE_OK;
}

static int disk_control(sqlite3_file *base, int operation, void *argument) {
    (void)base, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

/* As SQLite's own file system for Unix says of every disk. */
static int disk_sector_size(sqlite3_file *base) {
    (void)base;
    return 4096;
}

static int disk_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- Locks ---- */

static int disk_lock(sqlite3_file *base, int level) {
    handle *h = (handle *)base;
    file *f = h->file;
    if (is_gone(h)) return SQLITE_IOERR_LOCK;
    if (level <= h->level) return SQLITE_OK;
    int has_shared = h->level >= SQLITE_LOCK_SHARED,
        has_reserved = h->level >= SQLITE_LOCK_RESERVED;
    if (f->exclusive > (h->level == SQLITE_LOCK_EXCLUSIVE)) return SQLITE_BUSY;
    if (level >= SQLITE_LOCK_RESERVED && f->reserved > has_reserved) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && f->shared > has_shared) return SQLITE_BUSY;
    f->shared += !has_shared;
    f->reserved += level >= SQLITE_LOCK_RESERVED && !has_reserved;
    f->exclusive += level == SQLITE_LOCK_EXCLUSIVE;
    h->level = level;
    return SQLITE_OK;
}

static int disk_unlock(sqlite3_file *base, int level) {
    handle *h = (handle *)base;
    file *f = h->file;
    if (level >= h->level) return SQLITE_OK;
    f->exclusive -= h->level == SQLITE_LOCK_EXCLUSIVE;
    f->reserved -= h->level >= SQLITE_LOCK_RESERVED;
    f->shared -= level == SQLITE_LOCK_NONE;
    h->level = level;
    return SQLITE_OK;
}

static int disk_is_reserved(sqlite3_file *base, int *out) {
    handle *h = (handle *)base;
    *out = h->file->reserved > 0;
    return is_gone(h) ? SQLITE_IOERR_CHECKRESERVEDLOCK : SQLITE_OK;
}

/* ---- Shared memory ---- */

static int disk_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out) {
    handle *h = (handle *)base;
    *out = NULL;
    if (is_gone(h)) return SQLITE_IOERR_SHMMAP;
    must(region < REGIONS && size == REGION_BYTES, "more shared memory than expected");
    h->file->shm_users += !h->uses_shm;
    h->uses_shm = 1;
    uint8_t **at = &h->file->regions[region];
    if (!*at && extend) {
        if (disk.capacity - disk.used < REGION_BYTES) {
            disk.refused++;
            return fail_with(ENOSPC, SQLITE_IOERR_SHMSIZE);
        }
        *at = calloc(1, REGION_BYTES);
        must(*at != NULL, "no memory");
        disk.used += REGION_BYTES;
    }
    *out = *at;
    return SQLITE_OK;
}

static int is_free(const handle *h, int slot, int is_exclusive) {
    const file *f = h->file;
    if (f->shm_exclusive[slot] > ((h->shm_exclusive >> slot) & 1)) return 0;
    return !is_exclusive || f->shm_shared[slot] <= ((h->shm_shared >> slot) & 1);
}

static int disk_shm_lock(sqlite3_file *base, int offset, int count, int flags) {
    handle *h = (handle *)base;
    int locks = (flags & SQLITE_SHM_LOCK) != 0, is_exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    if (is_gone(h) && locks) return SQLITE_IOERR_SHMLOCK;
    for (int slot = offset; locks && slot < offset + count; slot++)
        if (!is_free(h, slot, is_exclusive)) return SQLITE_BUSY;
    uint16_t *mine = is_exclusive ? &h->shm_exclusive : &h->shm_shared;
    int *all = is_exclusive ? h->file->shm_exclusive : h->file->shm_shared;
    for (int slot = offset; slot < offset + count; slot++) {
        int has = (*mine >> slot) & 1;
        if (has == locks) continue;
        *mine ^= (uint16_t)(1u << slot);
        all[slot] += locks ? 1 : -1;
    }
    return SQLITE_OK;
}

static void disk_shm_barrier(sqlite3_file *base) { (void)base; }

static int disk_shm_unmap(sqlite3_file *base, int deletes) {
    (void)deletes; /* what nobody uses begins anew anyway */
    handle *h = (handle *)base;
    for (int slot = 0; slot < SQLITE_SHM_NLOCK; slot++) {
        h->file->shm_shared[slot] -= (h->shm_shared >> slot) & 1;
        h->file->shm_exclusive[slot] -= (h->shm_exclusive >> slot) & 1;
    }
    h->shm_shared = h->shm_exclusive = 0;
    h->file->shm_users -= h->uses_shm;
    h->uses_shm = 0;
    if (h->file->shm_users == 0) forget_shm(h->file);
    return SQLITE_OK;
}

/* ---- The folder ---- */

/* NULL: of no file on the disk. */
static file *file_behind(int fd) {
    char link[40], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return NULL;
    path[len] = 0;
    return file_of(named(path, 0));
}

int disk_fsync(int fd) {
    struct stat info;
    if (!own.is_inserted || fstat(fd, &info) != 0) return (int)syscall(SYS_fsync, fd);
    file *f = S_ISDIR(info.st_mode) ? NULL : file_behind(fd);
    if (!f && !S_ISDIR(info.st_mode)) return 0;
    errno = EIO;
    if (is_cut()) return -1;
    if (is_due(&disk.syncs_to_failure)) {
        if (f) fail_sync(f);
        disk.failed++;
        return -1;
    }
    if (f)
        sync_file(f);
    else
        sync_folder();
    return 0;
}

int disk_fadvise(int fd) {
    file *f = own.is_inserted ? file_behind(fd) : NULL;
    if (f) forget_memory(f);
    return 0;
}

static int disk_delete(sqlite3_vfs *vfs, const char *path, int syncs_folder) {
    (void)vfs;
    if (is_cut()) return SQLITE_IOERR_DELETE;
    name *n = named(path, 0);
    if (!file_of(n)) return fail_with(ENOENT, SQLITE_IOERR_DELETE_NOENT);
    rename_to(n, NULL);
    if (!syncs_folder) return SQLITE_OK;
    if (is_cut()) return SQLITE_IOERR_DIR_FSYNC;
    if (is_due(&disk.syncs_to_failure)) {
        disk.failed++;
        return fail_with(EIO, SQLITE_IOERR_DIR_FSYNC);
    }
    sync_folder();
    return SQLITE_OK;
}

static int disk_close(sqlite3_file *base) {
    handle *h = (handle *)base;
    disk_unlock(base, SQLITE_LOCK_NONE);
    if (*h->deleted && !is_gone(h)) disk_delete(NULL, h->deleted, 0);
    release(h->file);
    disk.handles--;
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_unlock,
    .xCheckReservedLock = disk_is_reserved,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector_size,
    .xDeviceCharacteristics = disk_characteristics,
    .xShmMap = disk_shm_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_shm_barrier,
    .xShmUnmap = disk_shm_unmap,
};

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                     int *out_flags) {
    (void)vfs;
    handle *h = (handle *)base;
    *h = (handle){0};
    if (disk.is_dead || !path) return fail_with(EIO, SQLITE_CANTOPEN);
    name *n = named(path, flags & SQLITE_OPEN_CREATE);
    file *f = file_of(n);
    if (!f && !(flags & SQLITE_OPEN_CREATE)) return fail_with(ENOENT, SQLITE_CANTOPEN);
    if (!f) {
        if (disk.capacity <= disk.used) {
            disk.refused++;
            return fail_with(ENOSPC, SQLITE_CANTOPEN);
        }
        f = make_file();
        rename_to(n, f);
        h->syncs_folder = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
    }
    h->base.pMethods = &methods;
    h->file = f;
    f->references++;
    if (below(2)) forget_memory(f);
    h->failed_syncs = f->failed_syncs;
    h->boot = own.boot;
    if (flags & SQLITE_OPEN_DELETEONCLOSE) snprintf(h->deleted, sizeof h->deleted, "%s", path);
    if (out_flags) *out_flags = flags;
    disk.handles++;
    return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *vfs, const char *path, int flags, int *out) {
    (void)vfs;
    const file *f = file_of(named(path, 0));
    *out = f && (flags != SQLITE_ACCESS_EXISTS || f->cached.len > 0);
    return disk.is_dead ? fail_with(EIO, SQLITE_IOERR_ACCESS) : SQLITE_OK;
}

static int disk_full_path(sqlite3_vfs *vfs, const char *path, int size, char *out) {
    (void)vfs;
    snprintf(out, (size_t)size, "%s", path);
    return SQLITE_OK;
}

static int disk_randomness(sqlite3_vfs *vfs, int count, char *out) {
    (void)vfs;
    for (int i = 0; i < count; i++) out[i] = (char)disk_random();
    return count;
}

/* Nobody else runs meanwhile. */
static int disk_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    return microseconds;
}

static int disk_last_error(sqlite3_vfs *vfs, int size, char *out) {
    (void)vfs, (void)size, (void)out;
    return own.error;
}

void disk_place(const char *path, const void *data, size_t len) {
    name *n = named(path, 1);
    rename_to(n, make_file());
    keep_name(n, n->count - 1);
    if (len) add_change(n->files[0], 0, data, len);
    sync_file(n->files[0]);
}

const void *disk_contents(const char *path, size_t *out_len) {
    const file *f = file_of(named(path, 0));
    *out_len = f ? f->cached.len : 0;
    return f ? f->cached.data : NULL;
}

void disk_insert(uint64_t seed) {
    /* A test that failed has left its own one behind. */
    if (!own.is_inserted) own.previous = sqlite3_vfs_find(NULL);
    memset(own.names, 0, sizeof own.names);
    own.random = seed * 0x9E3779B97F4A7C15u + 1;
    own.vfs = *own.previous; /* for what has nothing to do with files */
    own.vfs.iVersion = 1;
    own.vfs.szOsFile = sizeof(handle);
    own.vfs.mxPathname = PATH_BYTES - 8;
    own.vfs.zName = "losing";
    own.vfs.xOpen = disk_open;
    own.vfs.xDelete = disk_delete;
    own.vfs.xAccess = disk_access;
    own.vfs.xFullPathname = disk_full_path;
    own.vfs.xRandomness = disk_randomness;
    own.vfs.xSleep = disk_sleep;
    own.vfs.xGetLastError = disk_last_error;
    must(sqlite3_vfs_register(&own.vfs, 1) == SQLITE_OK, "can't be registered");
    sqlite3_randomness(0, NULL); /* begins anew, with ours */
    disk = (disk_state){0};
    expect_nothing();
    own.is_inserted = 1;
}

void disk_eject(void) {
    must(disk.handles == 0, "something is open");
    for (size_t i = 0; i < NAMES; i++) {
        name *n = &own.names[i];
        for (size_t j = 0; j < n->count; j++) release(n->files[j]);
        free(n->files);
        *n = (name){0};
    }
    must(disk.used == 0, "bytes are counted wrongly");
    own.is_inserted = 0;
    sqlite3_vfs_unregister(&own.vfs);
    sqlite3_vfs_register(own.previous, 1);
    sqlite3_randomness(0, NULL);
}
