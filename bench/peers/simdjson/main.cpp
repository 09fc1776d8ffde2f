// simdjson's parser with a document: what is valid, and where everything in it is.
//
//     simdjson measure --document FILE [--seconds S] [--warmup S]
//     simdjson version
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

namespace {

struct options {
    std::string document;
    double seconds = 0.5; // CPU time
    double warmup = 0.2;
};

double cpu_us() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return double(time.tv_sec) * 1e6 + double(time.tv_nsec) / 1e3;
}

int fail(const std::string &what) {
    std::fprintf(stderr, "simdjson: %s\n", what.c_str());
    return 1;
}

// Parses `count` times with one parser, as is recommended; returns the last error.
simdjson::error_code parse(simdjson::dom::parser &parser, const simdjson::padded_string &text,
                           long count) {
    simdjson::error_code error = simdjson::SUCCESS;
    for (long i = 0; i < count && !error; i++) error = parser.parse(text).error();
    return error;
}

// Whether it does what it is measured for: broken documents are refused.
bool refuses_broken(simdjson::dom::parser &parser, const simdjson::padded_string &text) {
    std::string broken(text.data(), text.size());
    simdjson::padded_string cut(broken.data(), broken.size() - 1);
    broken[broken.find(":\"") + 2] = '\xFF';
    return parse(parser, cut, 1) && parse(parser, simdjson::padded_string(broken), 1);
}

int measure(const options &o) {
    simdjson::padded_string text;
    if (simdjson::padded_string::load(o.document).get(text))
        return fail("the document can't be read");
    simdjson::dom::parser parser;
    if (!refuses_broken(parser, text)) return fail("a broken document was parsed");

    long count = 1;
    double begin = cpu_us();
    for (;; count *= 2) {
        double before = cpu_us();
        if (auto error = parse(parser, text, count)) return fail(simdjson::error_message(error));
        double now = cpu_us();
        if (now - begin < o.warmup * 1e6) continue;
        count = std::max(1L, long(o.seconds * 1e6 * double(count) / (now - before)));
        break;
    }
    double before = cpu_us();
    if (auto error = parse(parser, text, count)) return fail(simdjson::error_message(error));
    std::printf("{\"operations\": %ld, \"cpu_us\": %f, \"bytes\": %zu}\n", count, cpu_us() - before,
                text.size());
    return 0;
}

int usage() {
    fail("usage: simdjson measure --document FILE [--seconds S] [--warmup S] | version");
    return 2;
}

} // namespace

int main(int argc, char **argv) {
    if (argc == 2 && !std::strcmp(argv[1], "version")) {
        std::printf("simdjson %d.%d.%d (%s)\n", simdjson::SIMDJSON_VERSION_MAJOR,
                    simdjson::SIMDJSON_VERSION_MINOR, simdjson::SIMDJSON_VERSION_REVISION,
                    simdjson::get_active_implementation()->name().c_str());
        return 0;
    }
    if (argc < 2 || std::strcmp(argv[1], "measure")) return usage();
    options o;
    for (int i = 2; i + 1 < argc; i += 2) {
        std::string name = argv[i];
        if (name == "--document")
            o.document = argv[i + 1];
        else if (name == "--seconds")
            o.seconds = std::stod(argv[i + 1]);
        else if (name == "--warmup")
            o.warmup = std::stod(argv[i + 1]);
        else
            return usage();
    }
    return argc % 2 || o.document.empty() ? usage() : measure(o);
}
