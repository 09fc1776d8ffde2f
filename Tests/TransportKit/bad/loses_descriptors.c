/* breaks: many */
#define FAULT LOSES_DESCRIPTORS
#include "base.h"
