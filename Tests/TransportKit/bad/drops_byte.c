/* breaks: bytes */
#define FAULT DROPS_BYTE
#include "base.h"
