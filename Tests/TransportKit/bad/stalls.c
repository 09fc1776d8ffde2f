/* breaks: no-stall */
#define FAULT STALLS
#include "base.h"
