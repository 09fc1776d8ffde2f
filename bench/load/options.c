#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = {"unary", "chat", "list", "idle", "mixed"};
static const char *const default_paths[] = {"/echo.Echo/Unary", "/echo.Echo/Chat",
                                            "/echo.Echo/List", "/echo.Echo/Unary",
                                            "/echo.Echo/Unary"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

enum {
    KIND,
    PORT,
    ADDRESS,
    PATH,
    CONNECTIONS,
    STREAMS,
    SECONDS,
    WARMUP,
    SIZE,
    BODY,
    ANSWER_SIZE,
    CONTENT_TYPE,
    TLS,
    RATE,
    MESSAGES,
    HEAVY_PATH,
    HEAVY_STREAMS
};

static const struct option names[] = {[KIND] = {"kind", 1, NULL, KIND},
                                      [PORT] = {"port", 1, NULL, PORT},
                                      [ADDRESS] = {"address", 1, NULL, ADDRESS},
                                      [PATH] = {"path", 1, NULL, PATH},
                                      [CONNECTIONS] = {"connections", 1, NULL, CONNECTIONS},
                                      [STREAMS] = {"streams", 1, NULL, STREAMS},
                                      [SECONDS] = {"seconds", 1, NULL, SECONDS},
                                      [WARMUP] = {"warmup", 1, NULL, WARMUP},
                                      [SIZE] = {"size", 1, NULL, SIZE},
                                      [BODY] = {"body", 1, NULL, BODY},
                                      [ANSWER_SIZE] = {"answer-size", 1, NULL, ANSWER_SIZE},
                                      [CONTENT_TYPE] = {"content-type", 1, NULL, CONTENT_TYPE},
                                      [TLS] = {"tls", 0, NULL, TLS},
                                      [RATE] = {"rate", 1, NULL, RATE},
                                      [MESSAGES] = {"messages", 1, NULL, MESSAGES},
                                      [HEAVY_PATH] = {"heavy-path", 1, NULL, HEAVY_PATH},
                                      [HEAVY_STREAMS] = {"heavy-streams", 1, NULL, HEAVY_STREAMS},
                                      [HEAVY_STREAMS + 1] = {0}};

enum { STREAMS_MAX = 1 << 20, CONNECTIONS_MAX = 1 << 20, MESSAGE_BYTES_MAX = 64 << 20 };

static void refuse(const char *option, const char *why) {
    fprintf(stderr, "load: %s %s\n", option, why);
    exit(2);
}

static int kind_of(const char *name) {
    for (int i = 0; i < KINDS; i++)
        if (strcmp(name, kinds[i]) == 0) return i;
    refuse("--kind", "is none of unary, chat, list, idle, mixed");
    return 0;
}

static double number_of(int option, const char *text, double min, double max) {
    char *end;
    double number = strtod(text, &end);
    if (*end || end == text || number < min || number > max)
        refuse(names[option].name, "is not a number, or too small or too large");
    return number;
}

static void set(load_options *o, int option, const char *text) {
    switch (option) {
    case KIND:
        o->kind = kind_of(text);
        break;
    case ADDRESS:
        o->address = text;
        break;
    case PATH:
        o->paths[0] = text;
        break;
    case HEAVY_PATH:
        o->paths[1] = text;
        break;
    case BODY:
        o->body_file = text;
        break;
    case CONTENT_TYPE:
        o->content_type = text;
        break;
    case TLS:
        o->tls = 1;
        break;
    case PORT:
        o->port = (int)number_of(option, text, 1, 65535);
        break;
    case CONNECTIONS:
        o->connections = (uint32_t)number_of(option, text, 1, CONNECTIONS_MAX);
        break;
    case STREAMS:
        o->streams[0] = (uint32_t)number_of(option, text, 1, STREAMS_MAX);
        break;
    case HEAVY_STREAMS:
        o->streams[1] = (uint32_t)number_of(option, text, 1, STREAMS_MAX);
        break;
    case SECONDS:
        o->seconds = number_of(option, text, 0.001, 1e6);
        break;
    case WARMUP:
        o->warmup = number_of(option, text, 0, 1e6);
        break;
    case SIZE:
        o->size = (size_t)number_of(option, text, 0, MESSAGE_BYTES_MAX);
        break;
    case RATE:
        o->rate = number_of(option, text, 0.001, 1e8);
        break;
    case MESSAGES:
        o->messages = (uint64_t)number_of(option, text, 1, 1e12);
        break;
    case ANSWER_SIZE:
        o->any_answer_size = strcmp(text, "any") == 0;
        if (!o->any_answer_size)
            o->answer_size = (size_t)number_of(option, text, 1, MESSAGE_BYTES_MAX);
        break;
    default:
        exit(2); /* getopt has named it */
    }
}

static void complete(load_options *o) {
    if (!o->port) refuse("--port", "is missing");
    if (o->rate > 0 && o->kind != KIND_UNARY && o->kind != KIND_MIXED)
        refuse("--rate", "is for unary and mixed load");
    if (o->kind != KIND_MIXED && (o->paths[1] || o->streams[1]))
        refuse("--heavy-path and --heavy-streams", "are for mixed load");
    the_load.is_grpc = strncmp(o->content_type, "application/grpc", 16) == 0;
    if (!the_load.is_grpc && (o->kind == KIND_CHAT || o->kind == KIND_LIST))
        refuse("--content-type", "has to be one of gRPC for chat and list");
    if (!o->paths[0]) o->paths[0] = default_paths[o->kind];
    if (!o->paths[1]) o->paths[1] = "/echo.Echo/Heavy";
    if (o->kind == KIND_IDLE) o->streams[0] = 1;
    if (o->kind == KIND_MIXED && !o->streams[1]) o->streams[1] = 1;
}

void options_read(int argc, char **argv) {
    load_options *o = &the_load.options;
    *o = (load_options){.address = "127.0.0.1",
                        .connections = 1,
                        .streams = {1, 0},
                        .seconds = 5,
                        .warmup = 1,
                        .size = 32,
                        .messages = 1000,
                        .content_type = "application/grpc"};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) set(o, option, optarg);
    if (optind < argc) refuse(argv[optind], "is not an option");
    complete(o);
}
