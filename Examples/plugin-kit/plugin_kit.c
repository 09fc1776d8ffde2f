/* Runs the conformance kit on the file of a transport plugin:
 *
 *     plugin_kit [OPTION VALUE]... PLUGIN.so[?name=value&name=value...]
 *     plugin_kit --list */
#include "transport_kit.h"

int main(int argc, char **argv) { return transport_kit_main("plugin_kit", argc, argv); }
