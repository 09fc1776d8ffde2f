/* breaks: closed-in-time */
#define FAULT NEVER_CLOSES
#include "base.h"
