/* breaks: reading-off */
#define FAULT DATA_WHILE_OFF
#include "base.h"
