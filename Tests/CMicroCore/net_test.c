/* One suite for every transport that is built in. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "net_conformance.h"
#include "net_kit.h"

/* ---- Memory: names belong to a loop ---- */

TEST(memory_names_belong_to_their_loop) {
    net a, b;
    side s = {0};
    net_open(&a, &variants[3]);
    net_open(&b, &variants[4]); /* the same name */
    /* Two instances of one loop see each other. */
    void *instance, *first = b.client_self;
    CHECK_INT(b.t->create(mcore_loop_host(b.loop), NULL, 0, &instance), MCORE_OK);
    b.client_self = instance;
    client = &s;
    b.server_template.echo = b.server_template.close_on_eof = 1;
    CHECK_INT(do_connect(&b, "service", client), MCORE_OK);
    CHECK_INT(do_send(client, "hello", 5), MCORE_OK);
    CHECK(pump(&b, client_echoed));
    do_close(client, 0);
    CHECK(pump(&b, both_closed));
    b.t->destroy(instance);
    b.client_self = first;
    net_close(&a);
    net_close(&b);
}

int main(int argc, char **argv) { return net_main(argc, argv); }
