/* breaks: data-end */
#define FAULT DATA_AFTER_CLOSE
#include "base.h"
