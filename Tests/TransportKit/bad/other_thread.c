/* breaks: thread */
#define FAULT OTHER_THREAD
#include "base.h"
