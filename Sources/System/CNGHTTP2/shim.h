#if __has_include(<nghttp2/nghttp2.h>)
#include <nghttp2/nghttp2.h>
#else
#error "<nghttp2/nghttp2.h> is missing: run 'apt-get install libnghttp2-dev' (Debian, Ubuntu) or 'brew install nghttp2'"
#endif
