/* breaks: crash */
#define FAULT CRASHES
#include "base.h"
