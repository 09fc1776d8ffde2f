/* What the parts of echo-c share. */
#ifndef ECHO_C_H
#define ECHO_C_H

#include "mcore/transport.h"

enum { EXIT_USAGE = 2 };

/* Ends the program when `status` is an error. */
void check(const char *what, mcore_status status);

/* "tcp", "unix", or the file of a plugin. Ends the program when it can't be had. */
const mcore_transport_plugin *transport_named(const char *name);

/* `echo-c call ...`. */
int call_main(int argc, char **argv);

#endif
