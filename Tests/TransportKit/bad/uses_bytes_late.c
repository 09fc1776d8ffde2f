/* breaks: bytes; also: refused, sent-order */
#define FAULT USES_BYTES_LATE
#include "base.h"
