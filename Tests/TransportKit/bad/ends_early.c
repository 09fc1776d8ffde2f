/* breaks: end-behind-bytes */
#define FAULT ENDS_EARLY
#include "base.h"
