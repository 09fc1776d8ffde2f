#include "options.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>

void refuse(const std::string &why) {
    std::fprintf(stderr, "grpc-cpp: %s\n", why.c_str());
    std::exit(2);
}

namespace {

double number(const std::string &name, const std::string &text, double least, double most) {
    char *end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !(value >= least && value <= most))
        refuse(name + " " + text + ": not supported");
    return value;
}

/// The value says which of two words was given.
bool is_first(const std::string &name, const std::string &text, const char *first,
              const char *second) {
    if (text != first && text != second) refuse(name + " " + text + ": not supported");
    return text == first;
}

class Reader {
  public:
    Reader(int count, char **words) : words_(words, words + count) {}

    Options read(const std::string &command) {
        for (next_ = 2; next_ < words_.size();) read_option(command);
        return options_;
    }

  private:
    std::string value(const std::string &name) {
        if (next_ == words_.size()) refuse(name + " needs a value");
        return words_[next_++];
    }

    int integer(const std::string &name, int least, int most) {
        return static_cast<int>(number(name, value(name), least, most));
    }

    void read_option(const std::string &command) {
        Options &o = options_;
        std::string name = words_[next_++];
        bool serves = command == "serve";
        if (name == "--port")
            o.port = integer(name, 0, 65535);
        else if (name == "--codec")
            o.typed = is_first(name, value(name), "protobuf", "bytes");
        else if (serves && name == "--loops")
            o.loops = integer(name, 1, 1024);
        else if (serves && name == "--address")
            o.address = value(name);
        else if (serves && name == "--tls")
            o.certificate = value(name), o.key = value(name);
        else if (!serves && name == "--kind")
            o.chat = is_first(name, value(name), "chat", "unary");
        else if (!serves && name == "--connections")
            o.connections = integer(name, 1, 100000);
        else if (!serves && name == "--streams")
            o.streams = integer(name, 1, 100000);
        else if (!serves && name == "--size")
            o.size = integer(name, 6, 1 << 22);
        else if (!serves && name == "--seconds")
            o.seconds = number(name, value(name), 0.01, 1e6);
        else if (!serves && name == "--warmup")
            o.warmup = number(name, value(name), 0, 1e6);
        else
            refuse(name + ": not supported");
    }

    std::vector<std::string> words_;
    size_t next_ = 2;
    Options options_;
};

} // namespace

int main(int count, char **words) {
    std::string command = count > 1 ? words[1] : "";
    if (command == "version") {
        std::printf("gRPC C++ %s\n", grpc::Version().c_str());
        return 0;
    }
    if (command != "serve" && command != "call") refuse("serve, call or version?");
    Options options = Reader(count, words).read(command);
    return command == "serve" ? serve(options) : call(options);
}
