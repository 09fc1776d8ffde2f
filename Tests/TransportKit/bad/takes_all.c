/* breaks: backpressure */
#define FAULT TAKES_ALL
#include "base.h"
