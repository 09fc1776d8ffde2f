/* breaks: open-once */
#define FAULT OPENS_TWICE
#include "base.h"
