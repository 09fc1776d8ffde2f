#if __has_include(<openssl/ssl.h>)
#include <openssl/ssl.h>
#else
#error                                                                                             \
    "<openssl/ssl.h> is missing: run 'apt-get install libssl-dev' (Debian, Ubuntu) or 'brew install openssl@3'"
#endif
