#pragma once

#include <cstdint>
#include <string>

/// What the command line says; every program of the suite takes the same options.
struct Options {
    std::string address = "127.0.0.1";
    int port = 0;
    bool typed = true;

    int loops = 1;
    std::string certificate; // PEM files; empty: without TLS
    std::string key;

    bool chat = false;
    int connections = 1;
    int streams = 1;
    double seconds = 5;
    double warmup = 1;
    int size = 32;
};

/// Says what is wrong with the command line and ends with status 2: the caller skips what it asked.
[[noreturn]] void refuse(const std::string &why);

int serve(const Options &options);
int call(const Options &options);
