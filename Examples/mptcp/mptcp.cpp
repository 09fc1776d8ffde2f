// Multipath TCP as a transport plugin, in C++17: a connection that uses all the ways that lead to
// its peer (Wi-Fi and mobile, two uplinks of a data centre), and goes on when one of them fails.
// For a program it is a socket like that of TCP, so this file also shows how a plugin over sockets
// is written.
//
// Everything that must be given back has an owner whose destructor does it (plugin.hpp): so a
// function that fails half way simply returns. There are no exceptions, there is no RTTI, and
// memory is the host's.
#include "plugin.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP // older headers of the C library don't know it
#define IPPROTO_MPTCP 262
#endif

namespace {

constexpr size_t buffer_size = 64 * 1024;
constexpr size_t turn_bytes = 4 * buffer_size; // that one connection reads or writes per turn
constexpr int turn_accepts = 32;
constexpr size_t slices_per_write = 64;
constexpr uint64_t millisecond = 1000000;
constexpr uint64_t accept_pause = 100 * millisecond;
constexpr uint64_t farewell = 2000 * millisecond; // how long a peer may take to end, too

// ---- Addresses ----------------------------------------------------------------------------------

// "192.0.2.1:80" or "[2001:db8::1]:80". A name would have to be looked up, and nothing may block.
class Address {
  public:
    static constexpr size_t text_size = INET6_ADDRSTRLEN + sizeof "[]:65535";

    const sockaddr *get() const noexcept { return &any_; }
    sockaddr *get() noexcept { return &any_; }
    socklen_t size() const noexcept { return any_.sa_family == AF_INET6 ? sizeof v6_ : sizeof v4_; }
    socklen_t capacity() const noexcept { return sizeof v6_; }
    int family() const noexcept { return any_.sa_family; }
    uint16_t port() const noexcept { return ntohs(is_v6() ? v6_.sin6_port : v4_.sin_port); }

    bool parse(std::string_view text) noexcept {
        size_t colon = text.rfind(':');
        uint16_t port = 0;
        if (colon == text.npos) return false;
        std::string_view host(text.data(), colon);
        text.remove_prefix(colon + 1);
        if (!parse_port(text, &port)) return false;

        bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
        if (in_brackets) host = {host.data() + 1, host.size() - 2};
        char terminated[INET6_ADDRSTRLEN] = "";
        if (host.size() >= sizeof terminated) return false;
        memcpy(terminated, host.data(), host.size());
        *this = Address();
        if (in_brackets) {
            v6_.sin6_family = AF_INET6;
            v6_.sin6_port = htons(port);
            return inet_pton(AF_INET6, terminated, &v6_.sin6_addr) == 1;
        }
        v4_.sin_family = AF_INET;
        v4_.sin_port = htons(port);
        return inet_pton(AF_INET, terminated, &v4_.sin_addr) == 1;
    }
    size_t print(char (&out)[text_size]) const noexcept {
        char host[INET6_ADDRSTRLEN] = "";
        const void *binary = is_v6() ? static_cast<const void *>(&v6_.sin6_addr) : &v4_.sin_addr;
        inet_ntop(family(), binary, host, sizeof host);
        const char *format = is_v6() ? "[%s]:%u" : "%s:%u";
        return static_cast<size_t>(snprintf(out, sizeof out, format, host, unsigned{port()}));
    }

  private:
    bool is_v6() const noexcept { return family() == AF_INET6; }
    static bool parse_port(std::string_view text, uint16_t *out) noexcept {
        unsigned value = 0;
        if (text.empty() || text.size() > 5) return false;
        for (char digit : text) {
            if (digit < '0' || digit > '9') return false;
            value = value * 10 + static_cast<unsigned>(digit - '0');
        }
        *out = static_cast<uint16_t>(value);
        return value <= UINT16_MAX;
    }

    union {
        sockaddr any_;
        sockaddr_in v4_;
        sockaddr_in6 v6_ = {}; // the largest, so that all bytes are 0
    };
};

// ---- An instance --------------------------------------------------------------------------------

struct Instance {
    explicit Instance(const mcore_host *h) noexcept : host(h) {}

    Descriptor open_socket(int family) const noexcept {
        return Descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    }
    bool parse(const char *text, Address *out) const noexcept {
        if (out->parse(text)) return true;
        say(host, MCORE_LOG_ERROR,
            "\"%s\" is not like 192.0.2.1:80 or [2001:db8::1]:80 (names are not looked up)", text);
        return false;
    }

    const mcore_host *host;
    int protocol = IPPROTO_MPTCP;
    unsigned char buffer[buffer_size]; // of what is received, during on_data
};

// A connection that is between two loops. It belongs to no instance, so its memory is malloc's.
struct Ticket {
    Descriptor socket;
    Address peer;
};

} // namespace

// ---- A connection -------------------------------------------------------------------------------

// Or a listener. The calls of the host change the state and mark `later`; only on_ready, on_timer
// and on_later, which run by themselves, call the host back.
struct mcore_conn {
    enum class State { listening, connecting, open, dead };

    mcore_conn(Instance *owner, State first, const mcore_transport_events *events,
               void *context) noexcept
        : instance(owner), host(owner->host), ev(events), ctx(context), state(first), queued(host),
          written(host), watch(host), later(host), timer(host) {}

    mcore_status start(Descriptor &from, uint32_t interest) noexcept;
    mcore_status connect(Descriptor &from, uint64_t timeout_ms) noexcept;
    mcore_status send(uint64_t op, const mcore_slice *v, uint32_t n) noexcept;
    mcore_status set_reading(bool enabled) noexcept;
    void close(bool abort) noexcept;
    mcore_status detach(void **out_ticket) noexcept;

    Instance *instance;
    const mcore_host *host;
    const mcore_transport_events *ev;
    void *ctx;
    State state;
    Address address; // the peer's; of a listener its own

  private:
    static void on_ready(void *self, uint32_t events) noexcept;
    static void on_timer(void *self) noexcept;
    static void on_later(void *self) noexcept { static_cast<mcore_conn *>(self)->deliver(false); }

    void accept_some() noexcept;
    void accept(Descriptor from, const Address &peer) noexcept;
    void finish_connecting() noexcept;
    void write_some() noexcept;
    void read_some() noexcept;
    void say_end() noexcept;
    bool has_all_of_it() const noexcept;
    void set_interest() noexcept;
    void die(mcore_status status) noexcept;
    void deliver(bool is_readable) noexcept;
    // Behind close(0) the bytes are dropped, even if reading is off: who sends them must not wait.
    bool wants_input() const noexcept { return !ended && (reading || closing); }

    bool reading = true;      // of a listener: accepting
    bool closing = false;     // close() was called
    bool aborted = false;     // with 1
    bool ended = false;       // the peer sent its last byte
    bool said_end = false;    // so did we
    bool open_is_due = false; // on_open, with open_status
    mcore_status open_status = MCORE_OK;
    mcore_status why = MCORE_OK; // it is dead
    Descriptor socket;
    SendQueue queued, written; // `written` waits only for on_sent
    Watch watch;               // behind the socket, so that it is gone before that is closed
    Later later;
    Timer timer; // of connecting, of the farewell, or of a listener's pause
};

// Takes the descriptor if all goes well, and else leaves it where it is.
mcore_status mcore_conn::start(Descriptor &from, uint32_t interest) noexcept {
    mcore_status status = later.start(on_later, this);
    if (status < 0) return status;
    status = watch.start(from.get(), interest, on_ready, this);
    if (status < 0) return status;
    socket = std::move(from);
    if (state != State::listening) { // a request must not wait for the answer to the one before it
        int on = 1;
        setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return MCORE_OK;
}

mcore_status mcore_conn::connect(Descriptor &from, uint64_t timeout_ms) noexcept {
    mcore_status status = start(from, MCORE_WRITABLE);
    if (status < 0) return status;
    if (timeout_ms) {
        uint64_t limit = UINT64_MAX / millisecond;
        uint64_t delay_ns = std::min(timeout_ms, limit) * millisecond;
        status = timer.start(delay_ns, on_timer, this);
        if (status < 0) return status;
    }
    // If it is connected at once, the socket is writable, and that is how we learn it in any case.
    if (::connect(socket.get(), address.get(), address.size()) < 0 && errno != EINPROGRESS) {
        die(status_of(errno)); // no route, say: of the connection and not of the call
    }
    return MCORE_OK;
}

void mcore_conn::finish_connecting() noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
    if (error) return die(status_of(error));
    timer.stop();
    state = State::open;
    open_is_due = true;
}

// ---- Accepting

void mcore_conn::accept_some() noexcept {
    for (int i = 0; i < turn_accepts && state == State::listening; i++) {
        Address peer;
        socklen_t size = peer.capacity();
        int fd = accept4(socket.get(), peer.get(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept(Descriptor(fd), peer);
            continue;
        }
        if (errno == EAGAIN) return;
        mcore_status status = status_of(errno);
        if (status != MCORE_EMFILE && status != MCORE_ENOMEM) continue; // of one that is gone again
        // It stays readable, and nothing is won by looking at it all the time.
        reading = timer.start(accept_pause, on_timer, this) < 0;
        return;
    }
}

void mcore_conn::accept(Descriptor from, const Address &peer) noexcept {
    Owned<mcore_conn> conn = make<mcore_conn>(host, instance, State::open, ev, nullptr);
    if (!conn || conn->start(from, MCORE_READABLE) < 0) return from.reset_on_close();
    conn->address = peer;
    conn->ctx = ev->on_accept(ctx, conn.get());
    // Refused, or detached: then the socket is in the ticket. Else deliver() will end it.
    if (!conn->ctx) return conn->socket.reset_on_close();
    conn.release();
}

// Inside of on_accept, before anything was done with the connection.
mcore_status mcore_conn::detach(void **out_ticket) noexcept {
    if (state != State::open || closing || !queued.is_empty() || !written.is_empty()) {
        return MCORE_EINVAL;
    }
    void *memory = malloc(sizeof(Ticket));
    if (!memory) return MCORE_ENOMEM;
    watch.stop();
    state = State::dead;
    *out_ticket = new (memory) Ticket{std::move(socket), address};
    return MCORE_OK;
}

// ---- Bytes

mcore_status mcore_conn::send(uint64_t op, const mcore_slice *v, uint32_t n) noexcept {
    if (state == State::listening) return MCORE_EINVAL;
    if (closing || state == State::dead) return MCORE_ECLOSED;
    bool is_first = queued.is_empty();
    mcore_status status = queued.push(op, v, n);
    if (status < 0) return status;
    if (is_first && state == State::open) {
        write_some();
        set_interest();
    }
    return MCORE_OK;
}

void mcore_conn::write_some() noexcept {
    size_t left = turn_bytes;
    while (state == State::open && left && !queued.is_empty()) {
        iovec slices[slices_per_write];
        msghdr message = {};
        message.msg_iov = slices;
        message.msg_iovlen = queued.gather(slices, slices_per_write);
        ssize_t n = sendmsg(socket.get(), &message, MSG_NOSIGNAL);
        if (n >= 0) {
            queued.advance(static_cast<size_t>(n), written);
            left -= std::min(left, static_cast<size_t>(n));
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            die(status_of(errno));
        }
    }
    if (!written.is_empty()) later.mark();
    if (closing && queued.is_empty()) say_end();
}

void mcore_conn::read_some() noexcept {
    size_t left = turn_bytes;
    while (state == State::open && left && wants_input()) {
        ssize_t n = recv(socket.get(), instance->buffer, buffer_size, 0);
        if (n < 0) {
            mcore_status status = status_of(errno);
            if (errno == EAGAIN) return;
            if (errno == EINTR) continue;
            return die(has_all_of_it() ? mcore_status{MCORE_OK} : status); // then it may just go
        }
        mcore_slice slice = {instance->buffer, static_cast<size_t>(n)};
        ended = n == 0;
        left -= std::min(left, slice.len);
        if (!closing) ev->on_data(ctx, this, &slice, ended ? 0 : 1);
    }
    if (state == State::open && ended && said_end) die(MCORE_OK);
}

// ---- Ending

mcore_status mcore_conn::set_reading(bool enabled) noexcept {
    if (state == State::listening) return MCORE_EINVAL;
    if (closing || state == State::dead) return MCORE_ECLOSED;
    reading = enabled;
    set_interest();
    return MCORE_OK;
}

void mcore_conn::close(bool abort) noexcept {
    if (state == State::dead) return;
    closing = true;
    if (state == State::listening) return die(MCORE_OK);
    if (abort) {
        aborted = true;
        socket.reset_on_close();
        return die(state == State::connecting ? MCORE_ECANCELED : MCORE_ECLOSED);
    }
    if (state == State::open && queued.is_empty()) say_end(); // else behind the last byte
    set_interest();
}

// Half of the end; the other half is the peer's. A socket that is closed before it answers what the
// peer still sends with a reset, and with that the peer may lose bytes of ours which it has not
// read. So wait for its end; but not longer than a farewell if it has them all.
void mcore_conn::say_end() noexcept {
    if (said_end || state != State::open) return;
    if (shutdown(socket.get(), SHUT_WR) < 0) return die(status_of(errno));
    said_end = true;
    if (ended || timer.start(farewell, on_timer, this) < 0) die(MCORE_OK);
}

// Whether the peer's kernel has acknowledged all our bytes and the end. Also known of a socket that
// was reset.
bool mcore_conn::has_all_of_it() const noexcept {
    int unacknowledged = 0;
    return said_end && ioctl(socket.get(), SIOCOUTQ, &unacknowledged) == 0 && !unacknowledged;
}

// The descriptor is closed here and not in the destructor: the address of a listener is free when
// on_closed is called, and a peer learns it now.
void mcore_conn::die(mcore_status status) noexcept {
    if (state == State::dead) return;
    if (state == State::connecting) {
        open_is_due = true;
        open_status = status;
    }
    state = State::dead;
    why = status;
    timer.stop();
    watch.stop();
    socket.close();
    later.mark();
}

// ---- What runs by itself

void mcore_conn::on_ready(void *self, uint32_t events) noexcept {
    auto *conn = static_cast<mcore_conn *>(self);
    if (conn->state == State::listening) conn->accept_some();
    if (conn->state == State::connecting) conn->finish_connecting();
    if (conn->state == State::open && (events & MCORE_WRITABLE)) conn->write_some();
    conn->deliver(events & MCORE_READABLE);
}

void mcore_conn::on_timer(void *self) noexcept {
    auto *conn = static_cast<mcore_conn *>(self);
    conn->timer.has_fired();
    if (conn->state == State::listening) conn->reading = true;
    if (conn->state == State::connecting) conn->die(MCORE_ETIMEDOUT);
    if (conn->state == State::open) {
        bool waits =
            !conn->has_all_of_it() && conn->timer.start(farewell, on_timer, conn) == MCORE_OK;
        if (!waits) conn->die(MCORE_OK);
    }
    conn->deliver(false);
}

// The host may call anything from any callback, and so change what is read here behind each; only
// the connection itself stays, as it is freed nowhere else.
void mcore_conn::deliver(bool is_readable) noexcept {
    if (std::exchange(open_is_due, false)) ev->on_open(ctx, this, open_status);

    SendQueue sent(host); // what is sent inside of on_sent has to wait, or it would be our turn for
    sent.swap(written);   // as long as the peer reads
    while (!sent.is_empty()) ev->on_sent(ctx, this, sent.pop(), MCORE_OK);

    if (is_readable) read_some();
    if (state != State::dead) return set_interest();

    while (!written.is_empty()) ev->on_sent(ctx, this, written.pop(), MCORE_OK);
    mcore_status status = aborted ? mcore_status{MCORE_ECLOSED} : why;
    while (!queued.is_empty()) ev->on_sent(ctx, this, queued.pop(), status);
    ev->on_closed(ctx, this, why);
    Delete<mcore_conn>{host}(this);
}

// Also needed when nothing has changed: a watch that has reported an error rests until it is set.
void mcore_conn::set_interest() noexcept {
    if (state == State::dead) return;
    bool reads = state != State::connecting && wants_input();
    bool writes = state == State::connecting || !queued.is_empty();
    mcore_status status = watch.set((reads ? MCORE_READABLE : 0) | (writes ? MCORE_WRITABLE : 0));
    if (status < 0) die(status);
}

// ---- The table ----------------------------------------------------------------------------------

// Only once, so that later everybody knows what to ask for.
static mcore_status choose_protocol(Instance *instance, bool may_fall_back) noexcept {
    if (instance->open_socket(AF_INET)) return MCORE_OK;
    // Not compiled in; switched off; older than the protocol.
    bool is_unknown = errno == EPROTONOSUPPORT || errno == ENOPROTOOPT || errno == EINVAL;
    if (!is_unknown) return MCORE_OK; // each socket will say for itself
    if (!may_fall_back) {
        say(instance->host, MCORE_LOG_ERROR,
            "this kernel has no Multipath TCP, and fallback is no");
        return MCORE_ENOTSUP;
    }
    static std::atomic_flag is_said = ATOMIC_FLAG_INIT; // there is an instance for each loop
    if (!is_said.test_and_set()) {
        say(instance->host, MCORE_LOG_INFO, "this kernel has no Multipath TCP: plain TCP is used");
    }
    instance->protocol = IPPROTO_TCP;
    return MCORE_OK;
}

static mcore_status parse_options(const mcore_host *host, const mcore_header *options,
                                  uint32_t count, bool *may_fall_back) noexcept {
    for (uint32_t i = 0; i < count; i++) {
        std::string_view name = view(options[i].name), value = view(options[i].value);
        if (name != "fallback") {
            say(host, MCORE_LOG_ERROR, "unknown option \"%.*s\"", int(name.size()), name.data());
            return MCORE_EINVAL;
        }
        if (value != "yes" && value != "no") {
            say(host, MCORE_LOG_ERROR, "fallback is yes or no, not \"%.*s\"", int(value.size()),
                value.data());
            return MCORE_EINVAL;
        }
        *may_fall_back = value == "yes";
    }
    return MCORE_OK;
}

extern "C" { // their names begin with mptcp_, as connect, listen and so on are those of POSIX

static mcore_status mptcp_create(const mcore_host *host, const mcore_header *options,
                                 uint32_t option_count, void **out_self) noexcept {
    bool may_fall_back = true;
    mcore_status status = parse_options(host, options, option_count, &may_fall_back);
    if (status < 0) return status;
    Owned<Instance> instance = make<Instance>(host, host);
    if (!instance) return MCORE_ENOMEM;
    status = choose_protocol(instance.get(), may_fall_back);
    if (status < 0) return status;
    *out_self = instance.release();
    return MCORE_OK;
}

static void mptcp_destroy(void *self) noexcept {
    auto *instance = static_cast<Instance *>(self);
    Delete<Instance>{instance->host}(instance);
}

static mcore_status mptcp_listen(void *self, const char *text, const mcore_transport_events *ev,
                                 void *ctx, mcore_conn **out_listener) noexcept {
    auto *instance = static_cast<Instance *>(self);
    Address address;
    if (!instance->parse(*text ? text : "127.0.0.1:0", &address)) return MCORE_EINVAL;
    auto conn = make<mcore_conn>(instance->host, instance, mcore_conn::State::listening, ev, ctx);
    if (!conn) return MCORE_ENOMEM;

    Descriptor socket = instance->open_socket(address.family());
    if (!socket) return status_of(errno);
    int on = 1; // else a service that starts again would wait for its old connections
    setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    socklen_t size = conn->address.capacity();
    if (bind(socket.get(), address.get(), address.size()) < 0 ||
        listen(socket.get(), SOMAXCONN) < 0 ||
        getsockname(socket.get(), conn->address.get(), &size) < 0) {
        int error = errno;
        say(instance->host, MCORE_LOG_ERROR, "%s: %s", text, strerror(error));
        return status_of(error);
    }
    mcore_status status = conn->start(socket, MCORE_READABLE);
    if (status < 0) return status;
    *out_listener = conn.release();
    return MCORE_OK;
}

static mcore_status mptcp_connect(void *self, const char *text, uint64_t timeout_ms,
                                  const mcore_transport_events *ev, void *ctx,
                                  mcore_conn **out_conn) noexcept {
    auto *instance = static_cast<Instance *>(self);
    Address address;
    if (!instance->parse(text, &address)) return MCORE_EINVAL;
    if (!address.port()) {
        say(instance->host, MCORE_LOG_ERROR, "%s: nobody listens on port 0", text);
        return MCORE_EINVAL;
    }
    auto conn = make<mcore_conn>(instance->host, instance, mcore_conn::State::connecting, ev, ctx);
    if (!conn) return MCORE_ENOMEM;

    Descriptor socket = instance->open_socket(address.family());
    if (!socket) return status_of(errno);
    conn->address = address;
    mcore_status status = conn->connect(socket, timeout_ms);
    if (status < 0) return status;
    *out_conn = conn.release();
    return MCORE_OK;
}

static mcore_status mptcp_send(mcore_conn *conn, uint64_t op, const mcore_slice *v,
                               uint32_t n) noexcept {
    return conn->send(op, v, n);
}

static mcore_status mptcp_set_reading(mcore_conn *conn, uint32_t enabled) noexcept {
    return conn->set_reading(enabled != 0);
}

static void mptcp_close(mcore_conn *conn, uint32_t abort) noexcept { conn->close(abort != 0); }

static mcore_status mptcp_peer_name(mcore_conn *conn, char *out, size_t *inout_len) noexcept {
    char text[Address::text_size];
    size_t size = conn->address.print(text);
    bool fits = size <= *inout_len;
    if (fits) memcpy(out, text, size);
    *inout_len = size;
    return fits ? MCORE_OK : MCORE_ELIMIT;
}

static mcore_status mptcp_detach(mcore_conn *conn, void **out_ticket) noexcept {
    return conn->detach(out_ticket);
}

static void mptcp_discard(void *ticket) noexcept {
    static_cast<Ticket *>(ticket)->~Ticket();
    free(ticket);
}

static mcore_status mptcp_adopt(void *self, void *ticket, const mcore_transport_events *ev,
                                void *ctx, mcore_conn **out_conn) noexcept {
    auto *instance = static_cast<Instance *>(self);
    auto *detached = static_cast<Ticket *>(ticket);
    auto conn = make<mcore_conn>(instance->host, instance, mcore_conn::State::open, ev, ctx);
    if (!conn) return MCORE_ENOMEM;
    mcore_status status = conn->start(detached->socket, MCORE_READABLE);
    if (status < 0) return status;
    conn->address = detached->peer;
    mptcp_discard(ticket); // its socket is ours
    *out_conn = conn.release();
    return MCORE_OK;
}

} // extern "C"

// C++17 has no initializers with names; a function has them, and leaves the slots that a newer
// header appends NULL.
static constexpr mcore_transport_plugin make_table() noexcept {
    mcore_transport_plugin table = {};
    table.struct_size = sizeof table;
    table.abi_major = MCORE_TRANSPORT_ABI_MAJOR;
    table.name = "mptcp";
    table.version = "1.0.0";
    table.create = mptcp_create;
    table.destroy = mptcp_destroy;
    table.listen = mptcp_listen;
    table.connect = mptcp_connect;
    table.send = mptcp_send;
    table.set_reading = mptcp_set_reading;
    table.close = mptcp_close;
    table.peer_name = mptcp_peer_name;
    table.detach = mptcp_detach;
    table.adopt = mptcp_adopt;
    table.discard = mptcp_discard;
    return table;
}

static constexpr mcore_transport_plugin table = make_table();

[[gnu::visibility("default")]] const mcore_transport_plugin *mcore_transport_plugin_v1() {
    return &table;
}
