/* breaks: refused */
#define FAULT OPENS_TO_NOBODY
#include "base.h"
