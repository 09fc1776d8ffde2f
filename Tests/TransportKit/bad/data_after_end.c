/* breaks: data-end */
#define FAULT DATA_AFTER_END
#include "base.h"
