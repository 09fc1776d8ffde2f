/* Which nodes of many a client uses. */
#ifndef MCORE_HASH_SUBSET_H
#define MCORE_HASH_SUBSET_H

#include "hash/sort.h"

/* Sorts items, whose keys are identities of nodes, so that the first so many are the subset of that
 * size of this client; the keys are other ones then. `comes_last` tells those that are taken only
 * when there are no others.
 *
 * By rendezvous hashing, as in gRPC's random subsetting (A68): each client has an order of all
 * nodes that no other node's coming or going changes, and each node is in as many subsets as any
 * other, give or take the square root of that number. The subsets of "Site Reliability
 * Engineering", chapter 20, are perfectly even, but need to number the clients, and change
 * altogether with the number of nodes. */
void mcore__subset(mcore__sort_item *items, size_t count, uint64_t client,
                   int (*comes_last)(const void *value));

#endif
