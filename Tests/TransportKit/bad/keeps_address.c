/* breaks: address-free-again */
#define FAULT KEEPS_ADDRESS
#include "base.h"
