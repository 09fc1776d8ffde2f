// What any plugin in C++ can use, whatever carries its bytes: owners of what it takes from its host
// and from the kernel, each of which gives it back in its destructor, and a queue of sends. Copy
// it.
#ifndef PLUGIN_HPP
#define PLUGIN_HPP

#include "mcore/transport_plugin.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <string_view>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

namespace {

std::string_view view(mcore_slice text) noexcept {
    return {static_cast<const char *>(text.data), text.len};
}

constexpr struct {
    int error;
    mcore_status status;
} statuses[] = {{ENOMEM, MCORE_ENOMEM},         {ENOBUFS, MCORE_ENOMEM},
                {EMFILE, MCORE_EMFILE},         {ENFILE, MCORE_EMFILE},
                {EACCES, MCORE_EACCES},         {EPERM, MCORE_EACCES},
                {EADDRINUSE, MCORE_EADDRINUSE}, {EADDRNOTAVAIL, MCORE_EINVAL},
                {EAFNOSUPPORT, MCORE_EINVAL},   {ECONNREFUSED, MCORE_ECONNREFUSED},
                {ECONNRESET, MCORE_ECONNRESET}, {EPIPE, MCORE_ECONNRESET},
                {ETIMEDOUT, MCORE_ETIMEDOUT},   {ENETUNREACH, MCORE_EUNREACH},
                {EHOSTUNREACH, MCORE_EUNREACH}};

// What the kernel says, in the words of the host.
mcore_status status_of(int error) noexcept {
    for (auto &known : statuses) {
        if (known.error == error) return known.status;
    }
    return MCORE_EIO;
}

[[gnu::format(printf, 3, 4)]] void say(const mcore_host *host, int32_t level, const char *format,
                                       ...) noexcept {
    char line[256];
    va_list values;
    va_start(values, format);
    int length = vsnprintf(line, sizeof line, format, values);
    va_end(values);
    if (length < 0) return;
    host->log(host->self, level, line, std::min<size_t>(length, sizeof line - 1));
}

template <class T> struct Delete {
    const mcore_host *host;
    void operator()(T *object) const noexcept {
        object->~T();
        host->dealloc(host->self, object, sizeof(T));
    }
};
template <class T> using Owned = std::unique_ptr<T, Delete<T>>;

// Empty when there is no memory.
template <class T, class... Values> Owned<T> make(const mcore_host *host, Values &&...v) noexcept {
    void *memory = host->alloc(host->self, sizeof(T));
    return {memory ? new (memory) T(std::forward<Values>(v)...) : nullptr, Delete<T>{host}};
}

class Descriptor {
  public:
    Descriptor() noexcept = default;
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    Descriptor(Descriptor &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor &operator=(Descriptor &&other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() { close(); }

    explicit operator bool() const noexcept { return fd_ >= 0; }
    int get() const noexcept { return fd_; }
    void close() noexcept {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    // The peer will get a reset instead of an end, and what is still to be sent is dropped.
    void reset_on_close() noexcept {
        linger at_once = {1, 0};
        setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }

  private:
    int fd_ = -1;
};

// The three services of the host that call back. They call as from start(), and not any more behind
// stop() or the end of their owner.
class Watch {
  public:
    explicit Watch(const mcore_host *host) noexcept : host_(host) {}
    Watch(const Watch &) = delete;
    ~Watch() { stop(); }

    mcore_status start(int fd, uint32_t interest, void (*ready)(void *, uint32_t),
                       void *ctx) noexcept {
        return host_->watch_fd(host_->self, fd, interest, ready, ctx, &watch_);
    }
    mcore_status set(uint32_t interest) noexcept {
        return host_->rewatch_fd(host_->self, watch_, interest);
    }
    void stop() noexcept {
        if (watch_) host_->unwatch_fd(host_->self, std::exchange(watch_, nullptr));
    }

  private:
    const mcore_host *host_;
    mcore_watch *watch_ = nullptr;
};

class Later {
  public:
    explicit Later(const mcore_host *host) noexcept : host_(host) {}
    Later(const Later &) = delete;
    ~Later() {
        if (later_) host_->later_free(host_->self, later_);
    }

    mcore_status start(void (*fn)(void *), void *ctx) noexcept {
        return host_->later_new(host_->self, fn, ctx, &later_);
    }
    void mark() noexcept { host_->later_mark(host_->self, later_); }

  private:
    const mcore_host *host_;
    mcore_later *later_ = nullptr;
};

class Timer {
  public:
    explicit Timer(const mcore_host *host) noexcept : host_(host) {}
    Timer(const Timer &) = delete;
    ~Timer() { stop(); }

    mcore_status start(uint64_t delay_ns, void (*fn)(void *), void *ctx) noexcept {
        stop();
        return host_->timer_start(host_->self, delay_ns, fn, ctx, &id_);
    }
    void stop() noexcept {
        if (id_) host_->timer_stop(host_->self, std::exchange(id_, 0));
    }
    void has_fired() noexcept { id_ = 0; }

  private:
    const mcore_host *host_;
    uint64_t id_ = 0;
};

// One call of send(): the bytes are the host's, the array of slices that follows it is a copy. A
// slice that is written in part begins where the rest of it does.
struct Send {
    Send *next;
    uint64_t op;
    uint32_t begin, end; // of the slices that are not written
    size_t size;         // of the memory
    mcore_slice *slices() noexcept { return reinterpret_cast<mcore_slice *>(this + 1); }
};

class SendQueue {
  public:
    explicit SendQueue(const mcore_host *host) noexcept : host_(host) {}
    SendQueue(const SendQueue &) = delete;
    ~SendQueue() {
        while (first_) pop();
    }

    bool is_empty() const noexcept { return !first_; }
    void swap(SendQueue &other) noexcept {
        std::swap(first_, other.first_);
        std::swap(last_, other.last_);
    }
    mcore_status push(uint64_t op, const mcore_slice *v, uint32_t n) noexcept {
        uint32_t count = 0;
        for (uint32_t i = 0; i < n; i++) count += v[i].len > 0;
        if (!count) return MCORE_EINVAL;
        uint64_t wide = sizeof(Send) + uint64_t{count} * sizeof(mcore_slice);
        size_t size = static_cast<size_t>(wide);
        if (size != wide) return MCORE_ENOMEM;
        void *memory = host_->alloc(host_->self, size);
        if (!memory) return MCORE_ENOMEM;
        Send *send = new (memory) Send{nullptr, op, 0, 0, size};
        for (uint32_t i = 0; i < n; i++) {
            if (v[i].len) send->slices()[send->end++] = v[i];
        }
        append(send);
        return MCORE_OK;
    }
    uint64_t pop() noexcept {
        Send *send = take();
        uint64_t op = send->op;
        host_->dealloc(host_->self, send, send->size);
        return op;
    }
    size_t gather(iovec *out, size_t limit) const noexcept {
        size_t count = 0;
        for (Send *send = first_; send; send = send->next) {
            for (uint32_t i = send->begin; i < send->end; i++) {
                if (count == limit) return count;
                const mcore_slice &slice = send->slices()[i];
                out[count++] = {const_cast<void *>(slice.data), slice.len};
            }
        }
        return count;
    }
    // Moves the sends that the next `written` bytes complete to the end of `done`.
    void advance(size_t written, SendQueue &done) noexcept {
        while (written) {
            mcore_slice &slice = first_->slices()[first_->begin];
            size_t part = std::min(written, slice.len);
            slice = {static_cast<const char *>(slice.data) + part, slice.len - part};
            written -= part;
            if (!slice.len && ++first_->begin == first_->end) done.append(take());
        }
    }

  private:
    void append(Send *send) noexcept {
        *(first_ ? &last_->next : &first_) = send;
        last_ = send;
    }
    Send *take() noexcept {
        Send *send = first_;
        first_ = std::exchange(send->next, nullptr);
        return send;
    }

    const mcore_host *host_;
    Send *first_ = nullptr, *last_ = nullptr; // last_ is valid while there is a first_
};

} // namespace

#endif
