#include "mcore/status.h"

const char *mcore_status_text(mcore_status status) {
    switch (status) {
#define STATUS_CASE(name, value, text)                                                             \
    case value:                                                                                    \
        return text;
        MCORE_STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
    default:
        return "unknown status";
    }
}
