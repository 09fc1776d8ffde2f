/* A disk in memory, as a file system of SQLite, that loses what was not synced when the power is
 * cut: of each sector one of the states that it has had since the last sync survives, of a length
 * one of those, of files that were made or deleted since, chance says whether they are there.
 *
 * It also runs full, fails to write, and fails to sync; then, as Linux does, it forgets what was to
 * be synced, and the next sync succeeds. For one thread; connections of one process. */
#ifndef MCORE_LOSING_DISK_H
#define MCORE_LOSING_DISK_H

#include "test.h"

#include <sqlite3.h>

enum { DISK_SECTOR = 512, DISK_FILES = 8, DISK_REGIONS = 16, DISK_HANDLES = 32 };

typedef struct disk_write {
    int64_t offset;
    size_t len;     /* 0: the file was cut or grown to `offset` */
    uint8_t *bytes; /* NULL then */
} disk_write;

typedef struct disk_bytes {
    uint8_t *data;
    size_t len, capacity;
} disk_bytes;

typedef struct disk_file {
    char name[128];
    int exists, exists_durably;
    disk_bytes now, durable;
    disk_write *writes; /* since the last sync, in order */
    size_t write_count, write_capacity;
    uint8_t *regions[DISK_REGIONS];
    int shm_shared[SQLITE_SHM_NLOCK], shm_exclusive[SQLITE_SHM_NLOCK];
    int shared, reserved, exclusive; /* handles with these locks */
} disk_file;

typedef struct disk_handle {
    sqlite3_file base;
    disk_file *file;
    uint64_t boot;
    int level, deletes;
    uint16_t shm_shared, shm_exclusive;
} disk_handle;

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *previous;
    disk_file files[DISK_FILES];
    uint64_t boot, random;
    int is_dead;
    /* Counted down; at 0 it happens. Negative: never. */
    int64_t operations_to_cut, bytes_to_full, writes_to_failure, syncs_to_failure;
    uint64_t operations, syncs;
} disk;

static uint64_t disk_random(void) {
    disk.random = disk.random * 6364136223846793005u + 1442695040888963407u;
    return disk.random >> 33;
}

/* ---- Bytes ---- */

static void disk_resize(disk_bytes *bytes, size_t len) {
    if (len > bytes->capacity) {
        bytes->capacity = len * 2;
        bytes->data = realloc(bytes->data, bytes->capacity);
        CHECK(bytes->data != NULL);
    }
    if (len > bytes->len) memset(bytes->data + bytes->len, 0, len - bytes->len);
    bytes->len = len;
}

static void disk_apply(disk_bytes *bytes, const disk_write *write) {
    if (!write->bytes) {
        disk_resize(bytes, (size_t)write->offset);
        return;
    }
    size_t end = (size_t)write->offset + write->len;
    if (end > bytes->len) disk_resize(bytes, end);
    memcpy(bytes->data + write->offset, write->bytes, write->len);
}

static void disk_forget_writes(disk_file *file) {
    for (size_t i = 0; i < file->write_count; i++) free(file->writes[i].bytes);
    file->write_count = 0;
}

static void disk_note(disk_file *file, int64_t offset, const void *bytes, size_t len) {
    if (file->write_count == file->write_capacity) {
        file->write_capacity = file->write_capacity ? file->write_capacity * 2 : 64;
        file->writes = realloc(file->writes, file->write_capacity * sizeof *file->writes);
        CHECK(file->writes != NULL);
    }
    disk_write write = {.offset = offset, .len = len};
    if (bytes) {
        write.bytes = malloc(len);
        CHECK(write.bytes != NULL);
        memcpy(write.bytes, bytes, len);
    }
    file->writes[file->write_count++] = write;
    disk_apply(&file->now, &write);
}

/* ---- The power ---- */

/* What is left of a file. Each sector is that after the last of the writes that reached it, and no
 * two of them in an order that matters: so some of the later ones may be there and an earlier one
 * not. */
static void disk_lose(disk_file *file) {
    size_t kept_len = file->durable.len;
    disk_bytes view = {0}, kept = {0};
    disk_resize(&view, file->durable.len);
    if (view.len) memcpy(view.data, file->durable.data, view.len);
    disk_resize(&kept, file->durable.len);
    if (kept.len) memcpy(kept.data, file->durable.data, kept.len);
    for (size_t i = 0; i < file->write_count; i++) {
        const disk_write *write = &file->writes[i];
        disk_apply(&view, write);
        if (disk_random() % 2) kept_len = view.len;
        if (!write->bytes) continue;
        size_t first = (size_t)write->offset / DISK_SECTOR;
        size_t last = ((size_t)write->offset + write->len - 1) / DISK_SECTOR;
        for (size_t sector = first; sector <= last; sector++) {
            if (disk_random() % 2) continue; /* it never reached the disk */
            size_t begin = sector * DISK_SECTOR, end = begin + DISK_SECTOR;
            if (end > view.len) end = view.len;
            if (end > kept.len) disk_resize(&kept, end);
            memcpy(kept.data + begin, view.data + begin, end - begin);
        }
    }
    disk_resize(&kept, kept_len);
    free(view.data);
    free(file->durable.data);
    file->durable = kept;
}

static void disk_cut(void) {
    disk.is_dead = 1;
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk_file *file = &disk.files[i];
        if (!*file->name) continue;
        if (file->exists != file->exists_durably && disk_random() % 2)
            file->exists_durably = file->exists;
        if (file->exists_durably) disk_lose(file);
        disk_forget_writes(file);
    }
}

static void disk_forget_shm(disk_file *file) {
    for (size_t i = 0; i < DISK_REGIONS; i++) {
        free(file->regions[i]);
        file->regions[i] = NULL;
    }
    memset(file->shm_shared, 0, sizeof file->shm_shared);
    memset(file->shm_exclusive, 0, sizeof file->shm_exclusive);
}

/* The power is back: what survived is all that there is. Every handle is of the time before. */
static void disk_reboot(void) {
    disk.boot++;
    disk.is_dead = 0;
    disk.operations_to_cut = disk.bytes_to_full = -1;
    disk.writes_to_failure = disk.syncs_to_failure = -1;
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk_file *file = &disk.files[i];
        file->exists = file->exists_durably;
        if (!file->exists) file->durable.len = 0;
        disk_resize(&file->now, 0);
        disk_resize(&file->now, file->durable.len);
        if (file->now.len) memcpy(file->now.data, file->durable.data, file->now.len);
        disk_forget_writes(file);
        disk_forget_shm(file);
        file->shared = file->reserved = file->exclusive = 0;
    }
}

static void disk_clear(void) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk_file *file = &disk.files[i];
        disk_forget_writes(file);
        disk_forget_shm(file);
        free(file->writes);
        free(file->now.data);
        free(file->durable.data);
        memset(file, 0, sizeof *file);
    }
    disk_reboot();
}

/* Something that reaches the disk is about to happen; not 0: the power is gone. */
static int disk_operation(void) {
    if (disk.is_dead) return 1;
    disk.operations++;
    if (disk.operations_to_cut < 0 || disk.operations_to_cut-- > 0) return 0;
    disk_cut();
    return 1;
}

static int disk_is_gone(const disk_handle *handle) {
    return disk.is_dead || handle->boot != disk.boot;
}

/* ---- Files ---- */

static int disk_close(sqlite3_file *base);
static int disk_unlock(sqlite3_file *base, int level);
static int disk_shm_unmap(sqlite3_file *base, int deletes);

static int disk_read(sqlite3_file *base, void *out, int amount, sqlite3_int64 offset) {
    disk_handle *handle = (disk_handle *)base;
    if (disk_is_gone(handle)) return SQLITE_IOERR_READ;
    const disk_bytes *now = &handle->file->now;
    size_t available = (size_t)offset < now->len ? now->len - (size_t)offset : 0;
    size_t len = available < (size_t)amount ? available : (size_t)amount;
    if (len) memcpy(out, now->data + offset, len);
    if (len == (size_t)amount) return SQLITE_OK;
    memset((uint8_t *)out + len, 0, (size_t)amount - len);
    return SQLITE_IOERR_SHORT_READ;
}

static int disk_put(sqlite3_file *base, const void *bytes, int amount, sqlite3_int64 offset) {
    disk_handle *handle = (disk_handle *)base;
    if (disk_is_gone(handle) || disk_operation()) return SQLITE_IOERR_WRITE;
    if (disk.writes_to_failure >= 0 && disk.writes_to_failure-- == 0) return SQLITE_IOERR_WRITE;
    if (disk.bytes_to_full >= 0) {
        size_t end = (size_t)offset + (size_t)amount;
        int64_t grown = end > handle->file->now.len ? (int64_t)(end - handle->file->now.len) : 0;
        if (grown > disk.bytes_to_full) return SQLITE_FULL;
        disk.bytes_to_full -= grown;
    }
    disk_note(handle->file, offset, bytes, (size_t)amount);
    return SQLITE_OK;
}

static int disk_truncate(sqlite3_file *base, sqlite3_int64 size) {
    disk_handle *handle = (disk_handle *)base;
    if (disk_is_gone(handle) || disk_operation()) return SQLITE_IOERR_TRUNCATE;
    disk_note(handle->file, size, NULL, 0);
    return SQLITE_OK;
}

static int disk_sync(sqlite3_file *base, int flags) {
    (void)flags;
    disk_handle *handle = (disk_handle *)base;
    if (disk_is_gone(handle) || disk_operation()) return SQLITE_IOERR_FSYNC;
    disk.syncs++;
    disk_file *file = handle->file;
    if (disk.syncs_to_failure >= 0 && disk.syncs_to_failure-- == 0) {
        disk_forget_writes(file);
        return SQLITE_IOERR_FSYNC;
    }
    for (size_t i = 0; i < file->write_count; i++) disk_apply(&file->durable, &file->writes[i]);
    disk_forget_writes(file);
    file->exists_durably = file->exists;
    return SQLITE_OK;
}

static int disk_size(sqlite3_file *base, sqlite3_int64 *out_size) {
    disk_handle *handle = (disk_handle *)base;
    if (disk_is_gone(handle)) return SQLITE_IOERR_FSTAT;
    *out_size = (sqlite3_int64)handle->file->now.len;
    return SQLITE_OK;
}

static int disk_lock(sqlite3_file *base, int level) {
    disk_handle *handle = (disk_handle *)base;
    disk_file *file = handle->file;
    if (disk_is_gone(handle)) return SQLITE_IOERR_LOCK;
    if (level <= handle->level) return SQLITE_OK;
    int mine_shared = handle->level >= SQLITE_LOCK_SHARED;
    int mine_reserved = handle->level >= SQLITE_LOCK_RESERVED;
    if (file->exclusive > (handle->level == SQLITE_LOCK_EXCLUSIVE)) return SQLITE_BUSY;
    if (level >= SQLITE_LOCK_RESERVED && file->reserved > mine_reserved) return SQLITE_BUSY;
    if (level == SQLITE_LOCK_EXCLUSIVE && file->shared > mine_shared) return SQLITE_BUSY;
    if (!mine_shared) file->shared++;
    if (level >= SQLITE_LOCK_RESERVED && !mine_reserved) file->reserved++;
    if (level == SQLITE_LOCK_EXCLUSIVE) file->exclusive++;
    handle->level = level;
    return SQLITE_OK;
}

static int disk_unlock(sqlite3_file *base, int level) {
    disk_handle *handle = (disk_handle *)base;
    disk_file *file = handle->file;
    if (handle->boot == disk.boot && level < handle->level) {
        if (handle->level == SQLITE_LOCK_EXCLUSIVE) file->exclusive--;
        if (handle->level >= SQLITE_LOCK_RESERVED) file->reserved--;
        if (level == SQLITE_LOCK_NONE) file->shared--;
    }
    if (level < handle->level) handle->level = level;
    return SQLITE_OK;
}

static int disk_is_reserved(sqlite3_file *base, int *out) {
    *out = ((disk_handle *)base)->file->reserved > 0;
    return SQLITE_OK;
}

static int disk_control(sqlite3_file *base, int operation, void *argument) {
    (void)base, (void)operation, (void)argument;
    return SQLITE_NOTFOUND;
}

/* As the file system of Unix has them. */
static int disk_sector_size(sqlite3_file *base) {
    (void)base;
    return 4096;
}

static int disk_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- Shared memory ---- */

static int disk_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **out) {
    disk_handle *handle = (disk_handle *)base;
    if (disk_is_gone(handle)) return SQLITE_IOERR_SHMMAP;
    CHECK(region < DISK_REGIONS);
    uint8_t **at = &handle->file->regions[region];
    if (!*at && extend) {
        *at = calloc(1, (size_t)size);
        CHECK(*at != NULL);
    }
    *out = *at;
    return SQLITE_OK;
}

static int disk_shm_lock(sqlite3_file *base, int offset, int count, int flags) {
    disk_handle *handle = (disk_handle *)base;
    disk_file *file = handle->file;
    if (disk_is_gone(handle)) return SQLITE_IOERR_SHMLOCK;
    for (int i = offset; i < offset + count; i++) {
        uint16_t bit = (uint16_t)(1u << i);
        int mine_shared = (handle->shm_shared & bit) != 0;
        int mine_exclusive = (handle->shm_exclusive & bit) != 0;
        if (!(flags & SQLITE_SHM_LOCK)) continue;
        if (file->shm_exclusive[i] > mine_exclusive) return SQLITE_BUSY;
        if ((flags & SQLITE_SHM_EXCLUSIVE) && file->shm_shared[i] > mine_shared) return SQLITE_BUSY;
    }
    for (int i = offset; i < offset + count; i++) {
        uint16_t bit = (uint16_t)(1u << i);
        uint16_t *mine = flags & SQLITE_SHM_SHARED ? &handle->shm_shared : &handle->shm_exclusive;
        int *all = flags & SQLITE_SHM_SHARED ? file->shm_shared : file->shm_exclusive;
        int is_held = (*mine & bit) != 0;
        if ((flags & SQLITE_SHM_LOCK) && !is_held) {
            *mine |= bit;
            all[i]++;
        } else if ((flags & SQLITE_SHM_UNLOCK) && is_held) {
            *mine &= (uint16_t)~bit;
            all[i]--;
        }
    }
    return SQLITE_OK;
}

static void disk_shm_barrier(sqlite3_file *base) { (void)base; }

static int disk_shm_unmap(sqlite3_file *base, int deletes) {
    disk_handle *handle = (disk_handle *)base;
    if (handle->boot != disk.boot) return SQLITE_OK;
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        handle->file->shm_shared[i] -= (handle->shm_shared >> i) & 1;
        handle->file->shm_exclusive[i] -= (handle->shm_exclusive >> i) & 1;
    }
    handle->shm_shared = handle->shm_exclusive = 0;
    if (deletes) disk_forget_shm(handle->file);
    return SQLITE_OK;
}

static const sqlite3_io_methods disk_methods = {
    .iVersion = 2,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_put,
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

/* ---- The folder ---- */

static disk_file *disk_named(const char *name, int creates) {
    disk_file *unused = NULL;
    for (size_t i = 0; i < DISK_FILES; i++) {
        if (strcmp(disk.files[i].name, name) == 0) return &disk.files[i];
        if (!unused && !*disk.files[i].name) unused = &disk.files[i];
    }
    if (!creates) return NULL;
    CHECK(unused != NULL);
    snprintf(unused->name, sizeof unused->name, "%s", name);
    return unused;
}

static int disk_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                     int *out_flags) {
    (void)vfs;
    disk_handle *handle = (disk_handle *)base;
    handle->base.pMethods = NULL;
    if (disk.is_dead || !name) return SQLITE_CANTOPEN;
    disk_file *file = disk_named(name, flags & SQLITE_OPEN_CREATE);
    if (!file || (!file->exists && !(flags & SQLITE_OPEN_CREATE))) return SQLITE_CANTOPEN;
    if (!file->exists) {
        disk_note(file, 0, NULL, 0);
        file->exists = 1;
        /* The library makes the file of a database itself, and syncs the folder. */
        if (flags & SQLITE_OPEN_MAIN_DB) file->exists_durably = 1;
    }
    *handle = (disk_handle){
        .base = {&disk_methods},
        .file = file,
        .boot = disk.boot,
        .deletes = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0,
    };
    if (out_flags) *out_flags = flags;
    return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int syncs_folder) {
    (void)vfs;
    if (disk_operation()) return SQLITE_IOERR_DELETE;
    disk_file *file = disk_named(name, 0);
    if (!file || !file->exists) return SQLITE_IOERR_DELETE_NOENT;
    file->exists = 0;
    disk_note(file, 0, NULL, 0);
    if (syncs_folder) {
        file->exists_durably = 0;
        file->durable.len = 0;
        disk_forget_writes(file);
    }
    return SQLITE_OK;
}

static int disk_close(sqlite3_file *base) {
    disk_handle *handle = (disk_handle *)base;
    disk_unlock(base, SQLITE_LOCK_NONE);
    if (handle->deletes && !disk_is_gone(handle)) disk_delete(NULL, handle->file->name, 0);
    return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
    (void)vfs, (void)flags;
    disk_file *file = disk_named(name, 0);
    *out = file && file->exists && (flags != SQLITE_ACCESS_EXISTS || file->now.len > 0);
    return disk.is_dead ? SQLITE_IOERR_ACCESS : SQLITE_OK;
}

static int disk_full_path(sqlite3_vfs *vfs, const char *name, int size, char *out) {
    (void)vfs;
    snprintf(out, (size_t)size, "%s", name);
    return SQLITE_OK;
}

/* All databases that are opened from now on are on the disk. */
static void disk_insert(uint64_t seed) {
    disk.previous = sqlite3_vfs_find(NULL);
    disk.random = seed;
    disk.vfs = *disk.previous; /* for what has nothing to do with files */
    disk.vfs.iVersion = 1;
    disk.vfs.szOsFile = sizeof(disk_handle);
    disk.vfs.mxPathname = 120;
    disk.vfs.zName = "losing";
    disk.vfs.pAppData = NULL;
    disk.vfs.xOpen = disk_open;
    disk.vfs.xDelete = disk_delete;
    disk.vfs.xAccess = disk_access;
    disk.vfs.xFullPathname = disk_full_path;
    CHECK_INT(sqlite3_vfs_register(&disk.vfs, 1), SQLITE_OK);
    disk_clear();
}

static void disk_eject(void) {
    sqlite3_vfs_unregister(&disk.vfs);
    sqlite3_vfs_register(disk.previous, 1);
    disk_clear();
}

#endif
