/* breaks: closed-calls */
#define FAULT SENDS_AFTER_CLOSE
#include "base.h"
