/* breaks: end; also: accept-inside, accept-refused, end-behind-bytes, many */
#define FAULT LOSES_END
#include "base.h"
