/* libuv, for the files of loop/ and net/ that may know it. */
#ifndef MCORE_LOOP_UV_INCLUDE_H
#define MCORE_LOOP_UV_INCLUDE_H

#if __has_include(<uv.h>)
#include <uv.h>
#else
#error "<uv.h> is missing: run 'apt-get install libuv1-dev'"
#endif

#endif
