/* breaks: address-in-use */
#define FAULT SHARES_ADDRESS
#include "base.h"
