/* Records under keys in a SQLite file: conditional writes in batches, several batches to one
 * commit, lists, and a log of changes.
 *
 * A handle is one connection. It blocks, so it is used from worker threads, and by one thread at a
 * time; handles of the same file, in one process or several, work side by side: one writes, all
 * read. Keys are compared by their bytes.
 *
 * Times are those of the file: milliseconds that go on through restarts of processes and of the
 * machine, and do not jump with the calendar (mcore_store_time). */
#ifndef MCORE_STORE_H
#define MCORE_STORE_H

#include "mcore/slice.h"
#include "mcore/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mcore_store mcore_store;

/* The clocks as they are now. `boot` tells one start of the machine from another (at most 64
 * bytes); `monotonic_ms` counts since then, `wall_ms` since 1970. */
typedef struct mcore_store_clock {
    mcore_slice boot;
    int64_t monotonic_ms;
    int64_t wall_ms;
} mcore_store_clock;

typedef struct mcore_store_options {
    uint32_t struct_size;
    uint32_t busy_timeout_ms;  /* how long a writer waits for another process; 5,000 */
    uint32_t synchronous;      /* 1 NORMAL, 2 FULL; FULL */
    uint32_t read_only;        /* not 0: mcore_store_begin and what it allows are refused; 0 */
    uint64_t changes_max;      /* how many changes are kept for watchers; 10,000 */
    uint64_t change_bytes_max; /* and how many bytes of them; 32 MiB */
    uint64_t entries_max;      /* records, and keys with a fence; 2^63 - 1 */
    uint64_t bytes_max;        /* of keys, values and metadata together; 2^63 - 1 */
} mcore_store_options;

void mcore_store_options_default(mcore_store_options *out_options);

/* Opens or creates the file (mode 0600). One that is not a store of ours, or of a later version, is
 * refused and left as it is. On an error what is wrong is written to `detail` (0-terminated).
 * Errors: MCORE_EACCES, MCORE_ENOENT (the folder), MCORE_EBUSY, MCORE_ECORRUPT, MCORE_EIO,
 * MCORE_ENOTSUP (not a store, or of a later version), MCORE_EINVAL, MCORE_ENOMEM, MCORE_ELIMIT (the
 * disk is full). */
mcore_status mcore_store_open(const char *path, const mcore_store_options *options,
                              const mcore_store_clock *clock, mcore_store **out_store, char *detail,
                              size_t detail_size);
void mcore_store_close(mcore_store *store); /* NULL is ignored; what was begun is rolled back */

/* The text of the last error of this handle; valid until its next call. */
const char *mcore_store_error(mcore_store *store);

/* The time of the file at this moment of the monotonic clock of the boot that it was opened with.
 */
int64_t mcore_store_time(const mcore_store *store, int64_t monotonic_ms);

/* ---- Reading ----
 * `now` is the time of the file: what has expired by then is not seen. Reads between begin_read and
 * end_read see one state; others see the last commit each. Bytes are valid until the next call. */

typedef struct mcore_store_record {
    mcore_slice value, content_type, metadata;
    uint64_t version;
    int64_t expiry_ms; /* INT64_MAX: never */
} mcore_store_record;

mcore_status mcore_store_begin_read(mcore_store *store);
void mcore_store_end_read(mcore_store *store);

/* MCORE_ENOENT: there is none. */
mcore_status mcore_store_get(mcore_store *store, mcore_slice key, int64_t now,
                             mcore_store_record *out_record);

/* The next key in order that begins with `prefix`, ends with `suffix`, and is greater than `after`
 * (or not smaller than it, when `inclusive`). `*inout_budget` is how many keys it may look at, and
 * what is left of them: at 0 it returns MCORE_OK with `*out_found` 0, and `*out_key` is the last
 * key that it looked at, to go on after. MCORE_ENOENT: there are no more. */
mcore_status mcore_store_next_key(mcore_store *store, mcore_slice prefix, mcore_slice suffix,
                                  mcore_slice after, uint32_t inclusive, int64_t now,
                                  uint32_t *inout_budget, uint32_t *out_found,
                                  mcore_slice *out_key);

typedef struct mcore_store_facts {
    uint64_t revision;  /* of the last commit that changed something; 0: none */
    uint64_t forgotten; /* of the last change that is not in the log any more; 0: none */
    uint64_t entries, bytes;
    int64_t next_expiry_ms; /* INT64_MAX: nothing expires */
} mcore_store_facts;

mcore_status mcore_store_facts_read(mcore_store *store, mcore_store_facts *out_facts);

enum { MCORE_STORE_WRITTEN = 0, MCORE_STORE_DELETED = 1, MCORE_STORE_EXPIRED = 2 };

typedef struct mcore_store_change {
    uint64_t position; /* in the log: grows with every change */
    uint64_t revision;
    uint32_t kind;
    uint32_t reserved;
    int64_t time_ms; /* when it was committed */
    mcore_slice key;
    mcore_store_record record; /* of WRITTEN */
} mcore_store_change;

/* The first change behind `position` (0: from the oldest) of a key that begins with `prefix`.
 * MCORE_ENOENT: there is none so far, and `out_change->position` is where the log ends. */
mcore_status mcore_store_next_change(mcore_store *store, uint64_t position, mcore_slice prefix,
                                     mcore_store_change *out_change);
/* The position before the first change of `revision`, or of a later one. MCORE_ENOENT: changes from
 * there on are forgotten. */
mcore_status mcore_store_position_of(mcore_store *store, uint64_t revision, uint64_t *out_position);

/* ---- Writing ----
 * begin, then any number of batches, then commit: one fsync for all of them. A batch that is
 * refused changes nothing and leaves the others as they are. After an error of any of these (a
 * status below 0) everything since begin is lost, and the handle is ready for the next begin,
 * unless an fsync failed: then every call fails with MCORE_EIO, and the file has to be opened
 * again. */

enum { MCORE_STORE_CHECK = 0, MCORE_STORE_WRITE = 1, MCORE_STORE_DELETE = 2 };
enum { MCORE_STORE_ANY = 0, MCORE_STORE_ABSENT = 1, MCORE_STORE_VERSION = 2 };

typedef struct mcore_store_operation {
    uint32_t kind;      /* CHECK, WRITE, DELETE */
    uint32_t condition; /* ANY, ABSENT, VERSION */
    uint64_t version;   /* of VERSION */
    uint64_t fence;     /* 0: none; at most 2^63 - 1 */
    int64_t expiry_ms;  /* of WRITE; INT64_MAX: never */
    mcore_slice key;    /* not empty; each is written or deleted at most once in a batch */
    mcore_slice value, content_type, metadata; /* of WRITE */
} mcore_store_operation;

typedef enum mcore_store_verdict {
    MCORE_STORE_DONE = 0,
    MCORE_STORE_CONFLICT = 1,     /* `index` is the operation, `found` the version; 0: no record */
    MCORE_STORE_STALE = 2,        /* a fence was older: `found` is the newer one */
    MCORE_STORE_FULL_ENTRIES = 3, /* `found` is how many there are */
    MCORE_STORE_FULL_BYTES = 4,
    MCORE_STORE_FULL_FENCES = 5
} mcore_store_verdict;

typedef struct mcore_store_result {
    mcore_store_verdict verdict;
    uint32_t index;
    uint64_t found;
    uint64_t revision; /* of this batch; when it changed nothing, of the last one that did */
    uint64_t deleted;
} mcore_store_result;

/* Takes the write lock. MCORE_EBUSY: another process held it for longer than busy_timeout_ms. */
mcore_status mcore_store_begin(mcore_store *store, const mcore_store_clock *clock);
/* Checks and fences first, all of them; then the limits; then the changes. Records that have
 * expired are taken out first, with a change of their own. A batch that only makes things fewer or
 * smaller is never refused for a limit. */
mcore_status mcore_store_apply(mcore_store *store, const mcore_store_operation *operations,
                               size_t count, mcore_store_result *out_result);
/* Takes out up to `max` records that have expired. */
mcore_status mcore_store_expire(mcore_store *store, uint32_t max, uint32_t *out_count);
/* Trims the log, and makes everything since begin durable. */
mcore_status mcore_store_commit(mcore_store *store);
void mcore_store_rollback(mcore_store *store);

#ifdef __cplusplus
}
#endif

#endif
