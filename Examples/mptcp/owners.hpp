// Owners of what a plugin takes from its host and from the kernel: each gives it back in its
// destructor. Nothing here knows of Multipath TCP; copy it into your own plugin.
#ifndef OWNERS_HPP
#define OWNERS_HPP

#include "mcore/transport_plugin.h"

#include <memory>
#include <new>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace {

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

} // namespace

#endif
