/* breaks: blocks; run: --only echo */
#define FAULT BLOCKS
#include "base.h"
