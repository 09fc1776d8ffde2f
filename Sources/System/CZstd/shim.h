#if __has_include(<zstd.h>)
#include <zstd.h>
#else
#error                                                                                             \
    "<zstd.h> is missing: run 'apt-get install libzstd-dev' (Debian, Ubuntu) or 'brew install zstd'"
#endif
