/* breaks: data-length */
#define FAULT NULL_SLICE
#include "base.h"
