/* breaks: data-length */
#define FAULT EMPTY_SLICE
#include "base.h"
