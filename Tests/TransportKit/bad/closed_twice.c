/* breaks: closed-last */
#define FAULT CLOSED_TWICE
#include "base.h"
