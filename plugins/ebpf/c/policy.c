/*
 * Enforces the policy of one pod on packets at its interfaces (TCX, or a filter of traffic control). What
 * passes is left to the programs of others (TCX_NEXT, TC_ACT_UNSPEC); what does not is dropped.
 */
#include "rules.h"

enum { NEXT = -1, DROP = 2 };
enum { LOOPBACK = 1 }; /* its ifindex, in every namespace */

/* Whether an ICMP error is about a connection that is there, and goes to the side that sent the packet in question. */
GLOBAL int is_related(struct __sk_buff *skb, struct packet *packet)
{
	struct packet inner = {};
	struct flow_key key;
	int nascent;

	if (!packet || !is_icmp(packet) || packet->fragment == LATER)
		return 0;
	if (packet->family == 4 ? packet->icmp != 3 && packet->icmp != 4 && packet->icmp != 5 && packet->icmp != 11 && packet->icmp != 12
				: packet->icmp < 1 || packet->icmp > 4)
		return 0;
	if (read_packet(skb, packet->payload + 8, &inner, packet->family) || !can_be_tracked(&inner))
		return 0;
	if (inner.source.halves[0] != packet->target.halves[0] || inner.source.halves[1] != packet->target.halves[1])
		return 0;
	key_of(&inner, &key);
	return find_flow(&key, &nascent) != NULL;
}

enum { UNKNOWN = 0, OPENING = 1, REPLYING = 2 };

/* What is known of a packet's connection: whether it passes for that, as a packet of which side. */
GLOBAL int is_established(struct packet *packet, __u32 direction)
{
	struct flow_key key;
	struct flow *flow;
	struct flow kept;
	int nascent, opener;

	if (!packet || !can_be_tracked(packet) || opens_anew(packet))
		return UNKNOWN;
	key_of(packet, &key);
	flow = find_flow(&key, &nascent);
	if (!flow)
		return UNKNOWN;
	opener = source_is_low(packet) == !!(flow->flags & OPENED_BY_LOW);
	if (is_icmp(packet) && opener != is_echo_request(packet))
		return UNKNOWN;
	if (opener && (!(flow->flags & REPLIED) || !(flow->flags & PASSED << direction)))
		return UNKNOWN;
	flow->seen = now();
	if (!opener && !(flow->flags & REPLIED))
		flow->flags |= REPLIED;
	if (ends(packet))
		flow->flags |= CLOSING;
	if (opener && nascent) {
		kept = *flow;
		if (!put_flow(FLOWS, &key, &kept, FLOWS_IN))
			remove_flow(NASCENT, &key, NASCENT_OUT);
	}
	return opener ? OPENING : REPLYING;
}

/* Remember the connection of a packet that passes; forget what a denied one has left at another interface. */
GLOBAL int remember(struct packet *packet, __u32 direction, __u32 passes)
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
			remove_flow(NASCENT, &key, NASCENT_OUT);
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
		remove_flow(FLOWS, &key, FLOWS_OUT);
	put_flow(NASCENT, &key, &made, NASCENT_IN);
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
GLOBAL int keep_verdict(struct packet *packet, __u32 direction, __u32 passes)
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
GLOBAL int kept_verdict(struct packet *packet, __u32 direction)
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

GLOBAL int turn_round(struct packet *packet)
{
	union address source;
	__u16 port;

	if (!packet)
		return 0;
	source = packet->source;
	port = packet->source_port;
	packet->source = packet->target;
	packet->target = source;
	packet->source_port = packet->target_port;
	packet->target_port = port;
	return 0;
}

/*
 * With `established-flows: recheck`: whether a reply is judged, by the rules that would let in or out, now, the packet that
 * opened the connection. Audit mode of that direction alone has no say.
 */
static ALWAYS_INLINE int judges_replies(const struct side *side, const struct side *opened)
{
	return opened->mode == ISOLATED || (opened->mode == AUDITED && side->mode == AUDITED);
}

__attribute__((section("program"))) int policy(struct __sk_buff *skb)
{
	struct asked asked = {};
	struct packet *packet = &asked.packet;
	__u32 direction = DIRECTION, family, offset, flags, passes, judged, reply;
	struct side side, opened, asks;
	struct entry *entry;
	int known = 2, state;

	if (skb->ifindex == LOOPBACK)
		return NEXT;
	entry = find_interface(&asked, skb->ifindex);
	if (!entry)
		return NEXT;
	side = direction == INGRESS ? entry->interface.sides[0] : entry->interface.sides[1];
	opened = direction == INGRESS ? entry->interface.sides[1] : entry->interface.sides[0];
	flags = entry->interface.flags;
	family = find_ip(skb, flags & ETHERNET, &offset);
	if (!family)
		return NEXT;
	if (read_packet(skb, offset, packet, family)) {
		if (side.mode != ISOLATED)
			return NEXT;
		count(asked.place, side.first + DENIED, skb->len);
		return DROP;
	}
	if (packet->fragment == LATER)
		known = kept_verdict(packet, direction);
	state = is_established(packet, direction);
	judged = flags & RECHECK && (state == OPENING || (state == REPLYING && judges_replies(&side, &opened)));
	if (known == 1 || (state && !judged) || is_related(skb, packet)) {
		keep_verdict(packet, direction, 1);
		if (side.mode != OPEN)
			count(asked.place, side.first + ESTABLISHED, skb->len);
		return NEXT;
	}
	reply = judged && state == REPLYING;
	asks = reply ? opened : side;
	passes = 1;
	if (asks.mode != OPEN) {
		if (reply)
			turn_round(packet);
		passes = known != 0 && is_allowed(&asked, &asks, reply ? !direction : direction);
		if (reply)
			turn_round(packet);
		if (side.mode != OPEN)
			count(asked.place, !passes ? side.first + DENIED : reply ? side.first + ESTABLISHED : asked.found, skb->len);
	}
	if (side.mode == AUDITED)
		passes = 1;
	if (!reply)
		remember(packet, direction, passes);
	keep_verdict(packet, direction, passes);
	return passes ? NEXT : DROP;
}
