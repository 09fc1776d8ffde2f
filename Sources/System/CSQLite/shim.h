#if __has_include(<sqlite3.h>)
#include <sqlite3.h>
#else
#error "<sqlite3.h> is missing: run 'apt-get install libsqlite3-dev' (Debian, Ubuntu) or 'brew install sqlite'"
#endif
