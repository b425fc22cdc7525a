/*
 * Enforces the policy of one pod on packets at its interfaces (TCX). What passes is left to the programs of others
 * (TCX_NEXT); what does not is dropped.
 */
#include "rules.h"

enum { NEXT = -1, DROP = 2 };
enum { LOOPBACK = 1 }; /* its ifindex, in every namespace */

/* Whether an ICMP error is about a connection that is there, and goes to the side that sent the packet in question. */
static NOINLINE int is_related(struct __sk_buff *skb, struct packet *packet)
{
	struct packet inner = {};
	struct flow_key key;
	int nascent;

	if (!packet || !is_icmp(packet) || packet->fragment == LATER)
		return 0;
	if (packet->family == 4 ? packet->icmp != 3 && packet->icmp != 4 && packet->icmp != 5 && packet->icmp != 11 && packet->icmp != 12
				: packet->icmp < 1 || packet->icmp > 4)
		return 0;
	if (read_packet(skb, packet->payload + 8, &inner, packet->family, MOST_INNER_HEADERS) || !can_be_tracked(&inner))
		return 0;
	if (inner.source.halves[0] != packet->target.halves[0] || inner.source.halves[1] != packet->target.halves[1])
		return 0;
	key_of(&inner, &key);
	return find_flow(&key, &nascent) != NULL;
}

/* What is known of a packet's connection: 1 if it passes for that, else 0. */
static NOINLINE int is_established(struct packet *packet, __u32 direction)
{
	struct flow_key key;
	struct flow *flow;
	struct flow kept;
	int nascent, opener;

	if (!packet || !can_be_tracked(packet) || opens_anew(packet))
		return 0;
	key_of(packet, &key);
	flow = find_flow(&key, &nascent);
	if (!flow)
		return 0;
	opener = source_is_low(packet) == !!(flow->flags & OPENED_BY_LOW);
	if (is_icmp(packet) && opener != is_echo_request(packet))
		return 0;
	if (opener && (!(flow->flags & REPLIED) || !(flow->flags & PASSED << direction)))
		return 0;
	flow->seen = now();
	if (!opener && !(flow->flags & REPLIED))
		flow->flags |= REPLIED;
	if (ends(packet))
		flow->flags |= CLOSING;
	if (opener && nascent) {
		kept = *flow;
		if (!map_update(FLOWS, &key, &kept, BPF_ANY))
			map_delete(NASCENT, &key);
	}
	return 1;
}

/* Remember the connection of a packet that passes; forget what a denied one has left at another interface. */
static NOINLINE int remember(struct packet *packet, __u32 direction, __u32 passes)
{
	struct flow_key key;
	struct flow *flow;
	struct flow made = {};
	int nascent, opener = 0;

	if (!packet || !can_be_tracked(packet) || (is_icmp(packet) && !is_echo_request(packet)))
		return 0;
	key_of(packet, &key);
	flow = find_flow(&key, &nascent);
	if (flow)
		opener = source_is_low(packet) == !!(flow->flags & OPENED_BY_LOW);
	if (!passes) {
		if (flow && opener && !(flow->flags & REPLIED))
			map_delete(NASCENT, &key);
		return 0;
	}
	if (flow && opener && !(opens_anew(packet) && flow->flags & CLOSING)) {
		flow->flags |= PASSED << direction;
		flow->seen = now();
		return 0;
	}
	made.seen = now();
	made.flags = (source_is_low(packet) ? OPENED_BY_LOW : 0) | PASSED << direction;
	if (flow && !nascent)
		map_delete(FLOWS, &key);
	map_update(NASCENT, &key, &made, BPF_ANY);
	return 0;
}

static ALWAYS_INLINE void fragment_key_of(const struct packet *packet, __u32 direction, struct fragment_key *key)
{
	key->source = packet->source;
	key->target = packet->target;
	key->id = packet->fragment_id;
	key->direction = direction;
	key->protocol = packet->family == 4 ? packet->protocol : 0;
	key->family = packet->family;
	key->zero = 0;
}

/* The verdict on the first fragment, for the later ones. */
static NOINLINE int keep_verdict(struct packet *packet, __u32 direction, __u32 passes)
{
	struct fragment_key key;
	__u32 verdict = now() << 1 | !!passes;

	if (!packet || packet->fragment != FIRST)
		return 0;
	fragment_key_of(packet, direction, &key);
	map_update(FRAGMENTS, &key, &verdict, BPF_ANY);
	return 0;
}

/* The verdict on a later fragment by its first one: 1 passes, 0 does not, 2: not known. */
static NOINLINE int kept_verdict(struct packet *packet, __u32 direction)
{
	struct fragment_key key;
	__u32 *verdict;

	if (!packet)
		return 2;
	fragment_key_of(packet, direction, &key);
	verdict = map_lookup(FRAGMENTS, &key);
	if (!verdict || (now() & 0x7fffffff) - (*verdict >> 1) > LIFE_FRAGMENT)
		return 2;
	return *verdict & 1;
}

__attribute__((section("program"))) int policy(struct __sk_buff *skb)
{
	struct asked asked = {};
	struct packet *packet = &asked.packet;
	__u32 direction = DIRECTION, family, offset, passes;
	struct entry *entry;
	struct side side;
	int known = 2;

	if (skb->ifindex == LOOPBACK)
		return NEXT;
	entry = find_interface(&asked, skb->ifindex);
	if (!entry)
		return NEXT;
	side = direction == INGRESS ? entry->interface.sides[0] : entry->interface.sides[1];
	family = find_ip(skb, entry->interface.has_ethernet, &offset);
	if (!family)
		return NEXT;
	if (read_packet(skb, offset, packet, family, MOST_HEADERS)) {
		if (side.mode != ISOLATED)
			return NEXT;
		count(asked.place, side.first + DENIED, skb->len);
		return DROP;
	}
	if (packet->fragment == LATER)
		known = kept_verdict(packet, direction);
	if (known == 1 || is_established(packet, direction) || is_related(skb, packet)) {
		keep_verdict(packet, direction, 1);
		if (side.mode != OPEN)
			count(asked.place, side.first + ESTABLISHED, skb->len);
		return NEXT;
	}
	passes = 1;
	if (side.mode != OPEN) {
		passes = known != 0 && is_allowed(&asked, &side, direction);
		count(asked.place, passes ? asked.found : side.first + DENIED, skb->len);
		if (side.mode == AUDITED)
			passes = 1;
	}
	remember(packet, direction, passes);
	keep_verdict(packet, direction, passes);
	return passes ? NEXT : DROP;
}
