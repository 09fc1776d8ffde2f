/* breaks: open-in-time */
#define FAULT NEVER_OPENS
#include "base.h"
