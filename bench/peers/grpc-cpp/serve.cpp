#include "options.h"

#include "echo.grpc.pb.h"

#include <grpcpp/grpcpp.h>

#include <sched.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <sstream>

namespace {

using echo::Echo;
using echo::Note;

/// Reads a message, writes it, and so on until the client has no more.
template <class Message>
class ChatReactor final : public grpc::ServerBidiReactor<Message, Message> {
  public:
    ChatReactor() { this->StartRead(&message_); }

    void OnReadDone(bool ok) override {
        if (ok)
            this->StartWrite(&message_);
        else
            this->Finish(grpc::Status::OK);
    }

    void OnWriteDone(bool ok) override {
        if (ok)
            this->StartRead(&message_);
        else
            this->Finish(grpc::Status::CANCELLED);
    }

    void OnDone() override { delete this; }

  private:
    Message message_;
};

/// Writes the same text as often as the request says. The library may gather messages, but for the
/// last one and the first: it would wait with the headers, and this would wait for it.
class ListReactor final : public grpc::ServerWriteReactor<Note> {
  public:
    explicit ListReactor(const Note &request) : note_(request), left_(request.id()) { write({}); }

    void OnWriteDone(bool ok) override {
        if (ok)
            write(grpc::WriteOptions().set_buffer_hint());
        else
            Finish(grpc::Status::CANCELLED);
    }

    void OnDone() override { delete this; }

  private:
    void write(grpc::WriteOptions options) {
        if (left_ == 0) return Finish(grpc::Status::OK);
        if (--left_ == 0) return StartWriteAndFinish(&note_, {}, grpc::Status::OK);
        StartWrite(&note_, options);
    }

    Note note_;
    uint64_t left_;
};

class TypedEcho final : public Echo::CallbackService {
    grpc::ServerUnaryReactor *Unary(grpc::CallbackServerContext *context, const Note *request,
                                    Note *response) override {
        *response = *request;
        auto *reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    grpc::ServerBidiReactor<Note, Note> *Chat(grpc::CallbackServerContext *) override {
        return new ChatReactor<Note>;
    }

    grpc::ServerWriteReactor<Note> *List(grpc::CallbackServerContext *,
                                         const Note *request) override {
        return new ListReactor(*request);
    }
};

/// The messages stay what came from the socket: a byte buffer counts references to its slices.
class BytesEcho final
    : public Echo::WithRawCallbackMethod_Unary<Echo::WithRawCallbackMethod_Chat<Echo::Service>> {
    grpc::ServerUnaryReactor *Unary(grpc::CallbackServerContext *context,
                                    const grpc::ByteBuffer *request,
                                    grpc::ByteBuffer *response) override {
        auto *reactor = context->DefaultReactor();
        // A call that is cancelled before its message has come: an answer would end the program.
        if (!request->Valid()) {
            reactor->Finish(grpc::Status::CANCELLED);
            return reactor;
        }
        *response = *request;
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }

    grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> *
    Chat(grpc::CallbackServerContext *) override {
        return new ChatReactor<grpc::ByteBuffer>;
    }
};

std::string contents(const std::string &path) {
    std::ifstream file(path);
    std::ostringstream text;
    if (!(text << file.rdbuf())) refuse("--tls: can't read " + path);
    return text.str();
}

std::shared_ptr<grpc::ServerCredentials> credentials(const Options &options) {
    if (options.certificate.empty()) return grpc::InsecureServerCredentials();
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs.push_back({contents(options.key), contents(options.certificate)});
    return grpc::SslServerCredentials(tls);
}

/// The library chooses the number of the threads that serve callbacks (by the cores of the machine,
/// at least two) and has no option for it: what can be told is on how many cores they may run.
void limit_cores(int count) {
    cpu_set_t allowed, chosen;
    CPU_ZERO(&chosen);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) refuse("--loops: no affinity");
    for (int core = 0; core < CPU_SETSIZE && count > 0; core++) {
        if (!CPU_ISSET(core, &allowed)) continue;
        CPU_SET(core, &chosen);
        count--;
    }
    if (sched_setaffinity(0, sizeof chosen, &chosen) != 0) refuse("--loops: no affinity");
}

} // namespace

int serve(const Options &options) {
    limit_cores(options.loops);
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, nullptr);

    TypedEcho typed;
    BytesEcho bytes;
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(options.address + ":" + std::to_string(options.port),
                             credentials(options), &port);
    if (options.typed)
        builder.RegisterService(&typed);
    else
        builder.RegisterService(&bytes);
    // As gRPC's own benchmarks do: no filters that these calls don't need.
    builder.AddChannelArgument(GRPC_ARG_MINIMAL_STACK, 1);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server || port == 0) {
        std::fprintf(stderr, "grpc-cpp: can't listen on %s:%d\n", options.address.c_str(),
                     options.port);
        return 1;
    }
    std::printf("ready %d\n", port);
    std::fflush(stdout);

    int signal = 0;
    sigwait(&ends, &signal);
    server->Shutdown(std::chrono::system_clock::now());
    return 0;
}
