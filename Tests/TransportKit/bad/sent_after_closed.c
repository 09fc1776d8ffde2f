/* breaks: closed-last */
#define FAULT SENT_AFTER_CLOSED
#include "base.h"
