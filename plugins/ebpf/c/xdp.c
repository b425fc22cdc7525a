/*
 * Drops early, before the kernel makes an skb of a frame, what the program at TCX behind it drops for certain: packets
 * that no rule of ingress allows and that belong to no connection. All others pass, and that program decides: later
 * fragments, ICMP (errors belong to connections of other packets), what it cannot read.
 */
#define XDP
#include "rules.h"

enum { PASS = 2, DROP = 1 };

/* Whether a connection is known that the packet may belong to. */
GLOBAL int may_be_known(struct packet *packet)
{
	struct flow_key key;
	int nascent;

	if (!packet)
		return 1;
	if (opens_anew(packet))
		return 0;
	key_of(packet, &key);
	return find_flow(&key, &nascent) != NULL;
}

__attribute__((section("program"))) int stage(context *xdp)
{
	struct asked asked = {};
	struct packet *packet = &asked.packet;
	struct entry *entry = find_interface(&asked, xdp->ingress_ifindex);
	__u32 family, offset;
	struct side side;

	if (!entry || entry->interface.sides[0].mode != ISOLATED)
		return PASS;
	side = entry->interface.sides[0];
	family = find_ip(xdp, entry->interface.flags & ETHERNET, &offset);
	if (!family || read_packet(xdp, offset, packet, family))
		return PASS;
	if (packet->fragment != WHOLE || is_icmp(packet) || may_be_known(packet) || is_allowed(&asked, &side, INGRESS))
		return PASS;
	count(asked.place, side.first + DENIED, length_of(xdp));
	return DROP;
}
