/* breaks: bad-option */
#define FAULT IGNORES_OPTIONS
#include "base.h"
