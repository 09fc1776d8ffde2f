/* breaks: address-free-again; also: closed-last */
#define FAULT KEEPS_ADDRESS
#include "base.h"
