/* breaks: idle; run: --only idle */
#define FAULT BUSY
#include "base.h"
