/* The parser alone: connections are ours. */
#if __has_include(<hiredis/read.h>)
#include <hiredis/read.h>
#elif __has_include(<read.h>)
#include <read.h>
#else
#error                                                                                             \
    "<hiredis/read.h> is missing: run 'apt-get install libhiredis-dev' (Debian, Ubuntu) or 'brew install hiredis'"
#endif
