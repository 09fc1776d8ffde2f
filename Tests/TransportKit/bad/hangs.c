/* breaks: blocks; run: --only echo --stuck 1000 */
#define FAULT HANGS
#include "base.h"
