#if __has_include(<uv.h>)
#include <uv.h>
#else
#error "<uv.h> is missing: run 'apt-get install libuv1-dev' (Debian, Ubuntu) or 'brew install libuv'"
#endif
