/* breaks: abort; also: refused */
#define FAULT SAYS_ALL_WAS_SENT
#include "base.h"
