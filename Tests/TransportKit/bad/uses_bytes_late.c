/* breaks: bytes */
#define FAULT USES_BYTES_LATE
#include "base.h"
