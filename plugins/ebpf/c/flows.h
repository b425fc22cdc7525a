/*
 * Connections of the pod, whichever interfaces their packets take.
 *
 * There are two tables, and each forgets what was not used for the longest time. A connection begins in `nascent`, and
 * gets into `flows` when the side that opened it goes on after a reply: a flood of first packets, however many, pushes
 * no such connection out.
 */
#ifndef MNP_FLOWS_H
#define MNP_FLOWS_H

#include "packet.h"

enum { INGRESS = 0, EGRESS = 1 };
enum { OPENED_BY_LOW = 1, REPLIED = 2, CLOSING = 4, PASSED = 8 /* and 16: in ingress, in egress */ };

/* Unused for so long, in 2^30 nanoseconds, a connection is over. As in the kernel's connection tracking. */
enum { LIFE_TCP = 432000, LIFE_CLOSING = 120, LIFE_UDP = 120, LIFE_OTHER = 600, LIFE_NASCENT = 120, LIFE_FRAGMENT = 60 };

struct flow_key {
	union address low, high;
	__u16 low_port, high_port;
	__u8 protocol, family;
	__u16 zero;
};

struct flow {
	__u32 seen; /* in 2^30 nanoseconds */
	__u32 flags;
};

/* How many connections each table has taken in, and let go for another reason than want of room: the rest was evicted. */
enum { FLOWS_IN = 0, FLOWS_OUT = 1, NASCENT_IN = 2, NASCENT_OUT = 3 };

struct fragment_key {
	union address source, target;
	__u32 id;
	__u8 direction, protocol, family, zero;
};

static ALWAYS_INLINE __u32 now(void)
{
	return nanoseconds() >> 30;
}

static ALWAYS_INLINE int source_is_low(const struct packet *packet)
{
	for (int half = 0; half < 2; half++)
		if (packet->source.halves[half] != packet->target.halves[half])
			return packet->source.halves[half] < packet->target.halves[half];
	return packet->source_port <= packet->target_port;
}

static ALWAYS_INLINE void key_of(const struct packet *packet, struct flow_key *key)
{
	int low = source_is_low(packet);

	key->low = low ? packet->source : packet->target;
	key->high = low ? packet->target : packet->source;
	key->low_port = low ? packet->source_port : packet->target_port;
	key->high_port = low ? packet->target_port : packet->source_port;
	key->protocol = packet->protocol;
	key->family = packet->family;
	key->zero = 0;
}

static ALWAYS_INLINE int is_over(const struct flow *flow, const struct flow_key *key, int nascent)
{
	__u32 life = LIFE_OTHER;

	if (key->protocol == TCP)
		life = nascent ? LIFE_NASCENT : flow->flags & CLOSING ? LIFE_CLOSING : LIFE_TCP;
	else if (key->protocol == UDP)
		life = LIFE_UDP;
	return now() - flow->seen > life;
}

/* The connection, and in which table it is; NULL if there is none. */
static ALWAYS_INLINE struct flow *find_flow(const struct flow_key *key, int *nascent)
{
	struct flow *flow = map_lookup(FLOWS, key);

	*nascent = !flow;
	if (!flow)
		flow = map_lookup(NASCENT, key);
	return flow && !is_over(flow, key, *nascent) ? flow : NULL;
}

static ALWAYS_INLINE int can_be_tracked(const struct packet *packet)
{
	return packet->fragment != LATER && (!is_icmp(packet) || is_echo(packet));
}

static ALWAYS_INLINE int opens_anew(const struct packet *packet)
{
	if (packet->protocol == TCP)
		return (packet->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	return 0;
}

static ALWAYS_INLINE int ends(const struct packet *packet)
{
	return packet->protocol == TCP && packet->flags & (TCP_FIN | TCP_RST);
}

static ALWAYS_INLINE void tally(__u32 number)
{
	__u64 *count = map_lookup(COUNTS, &number);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Put a connection into a table; 0 if it is there then. */
static ALWAYS_INLINE int put_flow(void *table, const struct flow_key *key, const struct flow *flow, __u32 in)
{
	if (map_update(table, key, flow, BPF_NOEXIST))
		return map_update(table, key, flow, BPF_ANY);
	tally(in);
	return 0;
}

static ALWAYS_INLINE void remove_flow(void *table, const struct flow_key *key, __u32 out)
{
	if (!map_delete(table, key))
		tally(out);
}

#endif
