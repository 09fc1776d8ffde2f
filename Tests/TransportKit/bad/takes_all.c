/* breaks: backpressure; also: abort, refused */
#define FAULT TAKES_ALL
#include "base.h"
