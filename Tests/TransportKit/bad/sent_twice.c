/* breaks: sent-order */
#define FAULT SENT_TWICE
#include "base.h"
