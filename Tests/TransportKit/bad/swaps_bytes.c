/* breaks: bytes */
#define FAULT SWAPS_BYTES
#include "base.h"
