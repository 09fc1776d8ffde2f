/* breaks: no-stall; also: bytes, end */
#define FAULT STALLS
#include "base.h"
