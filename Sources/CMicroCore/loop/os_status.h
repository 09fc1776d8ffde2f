/* What the operating system's error numbers mean to the core. */
#ifndef MCORE_LOOP_OS_STATUS_H
#define MCORE_LOOP_OS_STATUS_H

#include "mcore/status.h"

/* `error` is an errno, positive; 0 is MCORE_OK. */
mcore_status mcore__status_of_errno(int error);

#endif
