/* breaks: result */
#define FAULT FORGETS_RESULT
#include "base.h"
