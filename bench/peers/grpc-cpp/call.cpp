#include "options.h"

#include "echo.grpc.pb.h"
#include "histogram.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace {

using echo::Echo;
using echo::Note;
using grpc::ByteBuffer;

const std::string UNARY = "/echo.Echo/Unary";
const std::string CHAT = "/echo.Echo/Chat";

uint64_t now_ns() {
    using namespace std::chrono;
    return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

uint64_t cpu_us() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    auto us = [](const timeval &t) { return uint64_t(t.tv_sec) * 1000000 + uint64_t(t.tv_usec); };
    return us(usage.ru_utime) + us(usage.ru_stime);
}

/// What all calls share.
class Run {
  public:
    explicit Run(int callers) : running_(callers) {}

    /// A reply came for what was sent at `start`. Whether the caller shall go on.
    bool replied(uint64_t start, uint64_t end, bool right) {
        if (!right) {
            failures_.fetch_add(1, std::memory_order_relaxed);
            return false;
        }
        if (measuring.load(std::memory_order_relaxed)) latencies.add(end - start);
        return !stopping.load(std::memory_order_relaxed);
    }

    /// The caller does no more.
    void left() {
        std::lock_guard lock(mutex_);
        if (--running_ == 0) all_left_.notify_all();
    }

    void wait_for(double seconds) {
        std::unique_lock lock(mutex_);
        all_left_.wait_for(lock, std::chrono::duration<double>(seconds),
                           [this] { return running_ == 0; });
    }

    void wait() {
        std::unique_lock lock(mutex_);
        all_left_.wait(lock, [this] { return running_ == 0; });
    }

    uint64_t failures() const { return failures_.load(); }

    Histogram latencies;
    std::atomic<bool> measuring{false};
    std::atomic<bool> stopping{false};

  private:
    std::atomic<uint64_t> failures_{0};
    std::mutex mutex_;
    std::condition_variable all_left_;
    int running_;
};

/// A note whose encoding has exactly so many bytes.
Note note_of(int size) {
    Note note;
    note.set_id(12345);
    for (int overhead = 5; overhead <= 8 && overhead <= size; overhead++) {
        note.set_text(std::string(size - overhead, 'x'));
        if (note.ByteSizeLong() == size_t(size)) return note;
    }
    refuse("--size " + std::to_string(size) + ": no message has this size");
}

/// How a call is made and its reply checked, typed.
struct Typed {
    using Message = Note;

    Typed(const std::shared_ptr<grpc::Channel> &channel) : stub(Echo::NewStub(channel)) {}

    static Note message(int size) { return note_of(size); }

    static bool is_echo(const Note &reply, const Note &sent) {
        return reply.id() == sent.id() && reply.text().size() == sent.text().size() &&
               reply.text().compare(0, 8, sent.text(), 0, 8) == 0;
    }

    void unary(grpc::ClientContext *context, const Note *request, Note *reply,
               grpc::ClientUnaryReactor *reactor) {
        stub->async()->Unary(context, request, reply, reactor);
    }

    void chat(grpc::ClientContext *context, grpc::ClientBidiReactor<Note, Note> *reactor) {
        stub->async()->Chat(context, reactor);
    }

    std::unique_ptr<Echo::Stub> stub;
};

/// The same with messages that stay bytes.
struct Bytes {
    using Message = ByteBuffer;

    Bytes(const std::shared_ptr<grpc::Channel> &channel) : stub(channel) {}

    static ByteBuffer message(int size) {
        grpc::Slice slice(note_of(size).SerializeAsString());
        return ByteBuffer(&slice, 1);
    }

    static bool is_echo(ByteBuffer &reply, ByteBuffer &sent) {
        grpc::Slice got, expected;
        if (reply.Length() != sent.Length() || !sent.TrySingleSlice(&expected).ok()) return false;
        if (!reply.TrySingleSlice(&got).ok() && !reply.DumpToSingleSlice(&got).ok()) return false;
        return std::memcmp(got.begin(), expected.begin(), std::min<size_t>(8, got.size())) == 0;
    }

    void unary(grpc::ClientContext *context, const ByteBuffer *request, ByteBuffer *reply,
               grpc::ClientUnaryReactor *reactor) {
        stub.PrepareUnaryCall(context, UNARY, {}, request, reply, reactor);
    }

    void chat(grpc::ClientContext *context,
              grpc::ClientBidiReactor<ByteBuffer, ByteBuffer> *reactor) {
        stub.PrepareBidiStreamingCall(context, CHAT, {}, reactor);
    }

    grpc::GenericStub stub;
};

/// One call after the other.
template <class Codec> class UnaryCaller final : public grpc::ClientUnaryReactor {
  public:
    UnaryCaller(Run &run, Codec &codec, const typename Codec::Message &message)
        : run_(run), codec_(codec), request_(message) {
        start(now_ns());
    }

    void OnDone(const grpc::Status &status) override {
        uint64_t end = now_ns();
        if (run_.replied(start_, end, status.ok() && Codec::is_echo(reply_, request_)))
            start(end);
        else
            run_.left();
    }

  private:
    void start(uint64_t now) {
        start_ = now;
        context_.emplace();
        codec_.unary(&*context_, &request_, &reply_, this);
        StartCall();
    }

    Run &run_;
    Codec &codec_;
    std::optional<grpc::ClientContext> context_;
    typename Codec::Message request_, reply_;
    uint64_t start_ = 0;
};

/// One message after the other, on one stream.
template <class Codec>
class ChatCaller final
    : public grpc::ClientBidiReactor<typename Codec::Message, typename Codec::Message> {
  public:
    ChatCaller(Run &run, Codec &codec, const typename Codec::Message &message)
        : run_(run), request_(message) {
        codec.chat(&context_, this);
        send(now_ns());
        this->StartCall();
    }

    void OnReadDone(bool ok) override {
        end_ = now_ns();
        right_ = ok && Codec::is_echo(reply_, request_);
        part_done();
    }

    void OnWriteDone(bool) override { part_done(); }

    void OnDone(const grpc::Status &status) override {
        if (right_ && !status.ok()) run_.replied(0, 0, false);
        run_.left();
    }

  private:
    /// The next message may be written only when the library has let go of this one, and it can say
    /// so after the reply has come.
    void part_done() {
        if (parts_.fetch_sub(1) != 1) return;
        if (run_.replied(start_, end_, right_)) return send(end_);
        if (right_)
            this->StartWritesDone();
        else
            context_.TryCancel();
    }

    void send(uint64_t now) {
        start_ = now;
        parts_ = 2;
        this->StartRead(&reply_);
        this->StartWrite(&request_);
    }

    Run &run_;
    grpc::ClientContext context_;
    typename Codec::Message request_, reply_;
    uint64_t start_ = 0, end_ = 0;
    std::atomic<int> parts_{0};
    bool right_ = false;
};

/// Channels of the same target would share a connection but for the local pool.
std::shared_ptr<grpc::Channel> connect(const Options &options) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // As gRPC's own benchmarks do: no filters that these calls don't need.
    arguments.SetInt(GRPC_ARG_MINIMAL_STACK, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    return grpc::CreateCustomChannel(options.address + ":" + std::to_string(options.port),
                                     grpc::InsecureChannelCredentials(), arguments);
}

int report(const Run &run, double seconds, uint64_t cpu) {
    const Histogram &l = run.latencies;
    std::printf("{\"requests\": %llu, \"failures\": %llu, \"seconds\": %.6f, \"cpu_us\": %llu, "
                "\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f}\n",
                (unsigned long long)l.count(), (unsigned long long)run.failures(), seconds,
                (unsigned long long)cpu, l.quantile(0.5) / 1e3, l.quantile(0.99) / 1e3,
                l.quantile(0.999) / 1e3, l.max() / 1e3);
    return run.failures() == 0 ? 0 : 1;
}

template <class Codec, class Caller> int measure(const Options &options) {
    auto message = Codec::message(options.size);
    Run run(options.connections * options.streams);
    std::vector<std::unique_ptr<Codec>> codecs;
    std::vector<std::unique_ptr<Caller>> callers;
    for (int i = 0; i < options.connections; i++) {
        codecs.push_back(std::make_unique<Codec>(connect(options)));
        for (int j = 0; j < options.streams; j++)
            callers.push_back(std::make_unique<Caller>(run, *codecs.back(), message));
    }
    run.wait_for(options.warmup);

    uint64_t start = now_ns(), cpu = cpu_us();
    run.measuring = true;
    run.wait_for(options.seconds);
    run.measuring = false;
    cpu = cpu_us() - cpu;
    double seconds = double(now_ns() - start) / 1e9;

    run.stopping = true;
    run.wait();
    return report(run, seconds, cpu);
}

} // namespace

int call(const Options &options) {
    if (options.port == 0) refuse("--port is missing");
    if (options.typed && options.chat) return measure<Typed, ChatCaller<Typed>>(options);
    if (options.typed) return measure<Typed, UnaryCaller<Typed>>(options);
    if (options.chat) return measure<Bytes, ChatCaller<Bytes>>(options);
    return measure<Bytes, UnaryCaller<Bytes>>(options);
}
