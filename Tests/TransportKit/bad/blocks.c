/* breaks: blocks */
#define FAULT BLOCKS
#include "base.h"
