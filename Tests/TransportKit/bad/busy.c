/* breaks: idle */
#define FAULT BUSY
#include "base.h"
