/* Objects that a thread keeps for their next use, instead of making them anew: one of each kind.
 * What is left when the thread ends is released by it. Any thread, each for itself. */
#ifndef MCORE_SPARE_H
#define MCORE_SPARE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mcore_spare_kind {
    MCORE_SPARE_READER,
    MCORE_SPARE_WRITER,
    MCORE_SPARE_KINDS
} mcore_spare_kind;

/* The object, which is the caller's now; NULL: there is none. */
void *mcore_spare_take(mcore_spare_kind kind);
/* Keeps `object`, unless the thread has one of this kind already: that stays, and `object` is
 * released at once. `release` is called by this thread. */
void mcore_spare_give(mcore_spare_kind kind, void *object, void (*release)(void *object));

#ifdef __cplusplus
}
#endif

#endif
