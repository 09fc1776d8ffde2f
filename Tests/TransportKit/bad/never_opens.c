/* breaks: open-in-time; also: open-once */
#define FAULT NEVER_OPENS
#include "base.h"
