/* breaks: end */
#define FAULT LOSES_END
#include "base.h"
