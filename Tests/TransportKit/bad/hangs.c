/* breaks: blocks */
#define FAULT HANGS
#include "base.h"
