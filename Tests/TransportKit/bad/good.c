/* breaks: nothing */
#define FAULT NOTHING
#include "base.h"
