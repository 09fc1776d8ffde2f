/* A disk in memory, as a file system of SQLite, that loses what was not synced when the power is
 * cut. What may be left of a file then:
 *
 * - of the pieces of sectors that were written since its last sync all, some or none, in the order
 *   in which they were written or in another one, and the piece that was being written only partly;
 * - of its lengths since then any, and what was never written there zeros or anything;
 * - of the files that had its name since the folder was synced any.
 *
 * It also runs full, fails to read and write, and fails to sync; then, as Linux does, it tells so
 * once to each who has the file open, and takes what was to be synced for synced: it may be read
 * as long as it happens to be in memory, and the next sync succeeds. And the programs can be
 * killed: then all that was written is still there, but not safe from the next power cut.
 *
 * The same seed makes the same disk. It is for one thread, and for any number of connections. */
#ifndef MCORE_LOSING_DISK_H
#define MCORE_LOSING_DISK_H

#include <stddef.h>
#include <stdint.h>

typedef struct disk_state {
    /* Counted down; at 0 it happens. Negative: never. */
    int64_t operations_to_cut; /* writes, syncs, truncations, deletions */
    int64_t writes_to_failure, reads_to_failure, syncs_to_failure;
    size_t capacity; /* bytes of all files together; SIZE_MAX: no limit */

    int is_dead;         /* cut or killed, and not up again */
    uint64_t operations; /* so far */
    uint64_t torn;       /* cuts within a write */
    uint64_t refused;    /* writes that found no room */
    uint64_t failed;     /* reads, writes and syncs that failed as they were told to */
    size_t used, handles;
} disk_state;

extern disk_state disk;

/* All databases that are opened from now on are on the disk, which is empty. */
void disk_insert(uint64_t seed);
/* Nothing may be open any more. */
void disk_eject(void);

/* The library makes the file of a database, syncs its folder, and looks after its log by itself:
 * the test has empty files of these names, and what the library does with them comes to the disk by
 *
 *     int fsync(int fd) { return disk_fsync(fd); }
 *     int posix_fadvise(int fd, off_t offset, off_t len, int advice) { ... disk_fadvise(fd); }
 */
int disk_fsync(int fd);
int disk_fadvise(int fd); /* POSIX_FADV_DONTNEED of all */

/* The power is gone: whatever is open fails from now on, and can only be closed. */
void disk_cut(void);
/* All programs are gone, and the disk goes on without them: for them it is like a cut. */
void disk_kill(void);
/* After either. What was to happen is forgotten. */
void disk_reboot(void);

/* Chance, of the seed: below 2^31. */
uint64_t disk_random(void);

/* A file that a test puts on the disk, safe from cuts, or looks at; NULL: there is none. */
void disk_place(const char *path, const void *bytes, size_t len);
const void *disk_contents(const char *path, size_t *out_len);

#endif
