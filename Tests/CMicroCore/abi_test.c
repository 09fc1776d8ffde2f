/* What plugins were compiled against: the layout of every table that crosses the boundary, the type
 * of each field, and the numbers. Append-only: a line that is here never changes, and what is added
 * to a table comes behind its last field and behind its last line. Only a SIZE may grow then, and
 * not that of mcore_slice and mcore_header, which have no struct_size.
 *
 * Offsets are those of machines with pointers of 64 bits. */
#include "mcore/transport_plugin.h"
#include "test.h"

_Static_assert(sizeof(void *) == 8 && sizeof(size_t) == 8 && sizeof(void (*)(void)) == 8,
               "a machine of 64 bits");

#define FIELD(table, field, offset, ...)                                                           \
    _Static_assert(offsetof(table, field) == (offset), #table "." #field " was moved");            \
    _Static_assert(_Generic(((table *)NULL)->field, __VA_ARGS__: 1, default: 0),                   \
                   #table "." #field " was retyped")
#define SIZE(table, bytes) _Static_assert(sizeof(table) == (bytes), "the size of " #table)
#define VALUE(name, number) _Static_assert((name) == (number), #name " was given another meaning")

/* ---- Tables ---- */

FIELD(mcore_slice, data, 0, const void *);
FIELD(mcore_slice, len, 8, size_t);
SIZE(mcore_slice, 16);

FIELD(mcore_header, name, 0, mcore_slice);
FIELD(mcore_header, value, 16, mcore_slice);
SIZE(mcore_header, 32);

FIELD(mcore_host, struct_size, 0, uint32_t);
FIELD(mcore_host, abi_major, 4, uint32_t);
FIELD(mcore_host, self, 8, void *);
FIELD(mcore_host, alloc, 16, void *(*)(void *, size_t));
FIELD(mcore_host, dealloc, 24, void (*)(void *, void *, size_t));
FIELD(mcore_host, log, 32, void (*)(void *, int32_t, const char *, size_t));
FIELD(mcore_host, now_ns, 40, uint64_t (*)(void *));
FIELD(mcore_host, post, 48, mcore_status (*)(void *, void (*)(void *), void *));
FIELD(mcore_host, watch_fd, 56,
      mcore_status (*)(void *, int32_t, uint32_t, void (*)(void *, uint32_t), void *,
                       mcore_watch **));
FIELD(mcore_host, rewatch_fd, 64, mcore_status (*)(void *, mcore_watch *, uint32_t));
FIELD(mcore_host, unwatch_fd, 72, void (*)(void *, mcore_watch *));
FIELD(mcore_host, timer_start, 80,
      mcore_status (*)(void *, uint64_t, void (*)(void *), void *, uint64_t *));
FIELD(mcore_host, timer_stop, 88, mcore_status (*)(void *, uint64_t));
FIELD(mcore_host, later_new, 96,
      mcore_status (*)(void *, void (*)(void *), void *, mcore_later **));
FIELD(mcore_host, later_mark, 104, void (*)(void *, mcore_later *));
FIELD(mcore_host, later_free, 112, void (*)(void *, mcore_later *));
SIZE(mcore_host, 120);

FIELD(mcore_transport_events, struct_size, 0, uint32_t);
FIELD(mcore_transport_events, reserved, 4, uint32_t);
FIELD(mcore_transport_events, on_open, 8, void (*)(void *, mcore_conn *, mcore_status));
FIELD(mcore_transport_events, on_accept, 16, void *(*)(void *, mcore_conn *));
FIELD(mcore_transport_events, on_data, 24,
      void (*)(void *, mcore_conn *, const mcore_slice *, uint32_t));
FIELD(mcore_transport_events, on_sent, 32, void (*)(void *, mcore_conn *, uint64_t, mcore_status));
FIELD(mcore_transport_events, on_closed, 40, void (*)(void *, mcore_conn *, mcore_status));
SIZE(mcore_transport_events, 48);

FIELD(mcore_security, struct_size, 0, uint32_t);
FIELD(mcore_security, resumed, 4, uint32_t);
FIELD(mcore_security, truncated, 8, uint32_t);
FIELD(mcore_security, peer_uri_count, 12, uint32_t);
FIELD(mcore_security, peer_name_count, 16, uint32_t);
FIELD(mcore_security, reserved, 20, uint32_t);
FIELD(mcore_security, version, 24, mcore_slice);
FIELD(mcore_security, cipher, 40, mcore_slice);
FIELD(mcore_security, protocol, 56, mcore_slice);
FIELD(mcore_security, peer_subject, 72, mcore_slice);
FIELD(mcore_security, peer_uris, 88, const mcore_slice *);
FIELD(mcore_security, peer_names, 96, const mcore_slice *);
SIZE(mcore_security, 104);

FIELD(mcore_transport_plugin, struct_size, 0, uint32_t);
FIELD(mcore_transport_plugin, abi_major, 4, uint32_t);
FIELD(mcore_transport_plugin, name, 8, const char *);
FIELD(mcore_transport_plugin, version, 16, const char *);
FIELD(mcore_transport_plugin, caps, 24, uint64_t);
FIELD(mcore_transport_plugin, create, 32,
      mcore_status (*)(const mcore_host *, const mcore_header *, uint32_t, void **));
FIELD(mcore_transport_plugin, destroy, 40, void (*)(void *));
FIELD(mcore_transport_plugin, listen, 48,
      mcore_status (*)(void *, const char *, const mcore_transport_events *, void *,
                       mcore_conn **));
FIELD(mcore_transport_plugin, connect, 56,
      mcore_status (*)(void *, const char *, uint64_t, const mcore_transport_events *, void *,
                       mcore_conn **));
FIELD(mcore_transport_plugin, send, 64,
      mcore_status (*)(mcore_conn *, uint64_t, const mcore_slice *, uint32_t));
FIELD(mcore_transport_plugin, set_reading, 72, mcore_status (*)(mcore_conn *, uint32_t));
FIELD(mcore_transport_plugin, close, 80, void (*)(mcore_conn *, uint32_t));
FIELD(mcore_transport_plugin, peer_name, 88, mcore_status (*)(mcore_conn *, char *, size_t *));
FIELD(mcore_transport_plugin, detach, 96, mcore_status (*)(mcore_conn *, void **));
FIELD(mcore_transport_plugin, adopt, 104,
      mcore_status (*)(void *, void *, const mcore_transport_events *, void *, mcore_conn **));
FIELD(mcore_transport_plugin, discard, 112, void (*)(void *));
FIELD(mcore_transport_plugin, create_from, 120,
      mcore_status (*)(const mcore_transport_plugin *, const mcore_host *, const mcore_header *,
                       uint32_t, void **));
FIELD(mcore_transport_plugin, security, 128, mcore_status (*)(mcore_conn *, mcore_security *));
FIELD(mcore_transport_plugin, failure_text, 136, mcore_status (*)(mcore_conn *, char *, size_t *));
SIZE(mcore_transport_plugin, 144);

/* ---- Numbers ---- */

VALUE(MCORE_TRANSPORT_ABI_MAJOR, 1);
VALUE(MCORE_READABLE, 1);
VALUE(MCORE_WRITABLE, 2);
VALUE(MCORE_LOG_DEBUG, 1);
VALUE(MCORE_LOG_INFO, 2);
VALUE(MCORE_LOG_WARNING, 3);
VALUE(MCORE_LOG_ERROR, 4);
VALUE(MCORE_TRANSPORT_CAP_SECURE, 1);

_Static_assert(_Generic((mcore_status)0, int32_t: 1, default: 0), "mcore_status was retyped");
VALUE(MCORE_OK, 0);
VALUE(MCORE_EINVAL, -1);
VALUE(MCORE_ENOMEM, -2);
VALUE(MCORE_ECLOSED, -3);
VALUE(MCORE_ECANCELED, -4);
VALUE(MCORE_ETIMEDOUT, -5);
VALUE(MCORE_ELIMIT, -6);
VALUE(MCORE_EPROTO, -7);
VALUE(MCORE_EIO, -8);
VALUE(MCORE_EADDRINUSE, -9);
VALUE(MCORE_ECONNREFUSED, -10);
VALUE(MCORE_ECONNRESET, -11);
VALUE(MCORE_EUNREACH, -12);
VALUE(MCORE_EACCES, -13);
VALUE(MCORE_ENOENT, -14);
VALUE(MCORE_EEXIST, -15);
VALUE(MCORE_EBUSY, -16);
VALUE(MCORE_ENOTSUP, -17);
VALUE(MCORE_EDRAINING, -18);
VALUE(MCORE_EUNAVAILABLE, -19);
VALUE(MCORE_EREFUSED, -20);
VALUE(MCORE_EMFILE, -21);
VALUE(MCORE_ECORRUPT, -22);
VALUE(MCORE_ETLS, -23);
VALUE(MCORE_EPLUGIN, -24);

/* A status that is new gets a line above. */
#define ONE(name, number, text) +1
VALUE(0 MCORE_STATUS_MAP(ONE), 25);

/* ---- What is more than a number ---- */

TEST(the_entry) {
    CHECK(strcmp(MCORE_TRANSPORT_ENTRY_SYMBOL, "mcore_transport_plugin_v1") == 0);
    CHECK(_Generic((mcore_transport_entry)NULL,
              const mcore_transport_plugin *(*)(void): 1,
              default: 0));
    CHECK(_Generic(&mcore_transport_plugin_v1,
              const mcore_transport_plugin *(*)(void): 1,
              default: 0));
}

static mcore_status no_name(mcore_conn *conn, char *out, size_t *inout_len) {
    (void)conn, (void)out, (void)inout_len;
    return MCORE_ENOENT;
}

/* An optional slot is there when the table is long enough for all of it, and it is set. */
TEST(a_table_of_an_older_author_has_no_newer_slots) {
    mcore_transport_plugin table = {.struct_size = 96, .peer_name = no_name};
    CHECK(MCORE_HAS(mcore_transport_plugin, &table, peer_name));
    CHECK(!MCORE_HAS(mcore_transport_plugin, &table, detach));
    table.struct_size = 95;
    CHECK(!MCORE_HAS(mcore_transport_plugin, &table, peer_name));
    table.struct_size = sizeof table;
    CHECK(MCORE_HAS(mcore_transport_plugin, &table, peer_name));
    CHECK(!MCORE_HAS(mcore_transport_plugin, &table, failure_text));
}

int main(int argc, char **argv) { return test_main(argc, argv); }
