/* breaks: sent-order */
#define FAULT SENT_SWAPPED
#include "base.h"
