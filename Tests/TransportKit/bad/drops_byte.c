/* breaks: bytes; also: accept-inside, no-stall */
#define FAULT DROPS_BYTE
#include "base.h"
