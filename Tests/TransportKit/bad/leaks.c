/* breaks: leak */
#define FAULT LEAKS
#include "base.h"
