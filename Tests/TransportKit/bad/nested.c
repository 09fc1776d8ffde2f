/* breaks: nested */
#define FAULT NESTED
#include "base.h"
