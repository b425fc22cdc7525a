/* A packet as policy sees it: its addresses, protocol and ports, wherever they are in the frame. */
#ifndef MNP_PACKET_H
#define MNP_PACKET_H

#include "bpf.h"

enum { ICMP = 1, IGMP = 2, TCP = 6, UDP = 17, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, ICMPV6 = 58 };
enum { HOP_BY_HOP = 0, DESTINATION_OPTIONS = 60, MOBILITY = 135, SCTP = 132 };
enum { ETH_IPV4 = 0x0800, ETH_VLAN = 0x8100, ETH_IPV6 = 0x86dd, ETH_QINQ = 0x88a8 };
enum { WHOLE = 0, FIRST = 1, LATER = 2 };          /* a fragment or not */
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };
enum { MALFORMED = 1 };                            /* instead of a packet */
enum { MOST_HEADERS = 6 };                         /* extension headers of IPv6 that are looked into */

union address {
	__u8 bytes[16];
	__u32 words[4];
	__u64 halves[2];
};

struct packet {
	union address source, target; /* IPv4 in the first four bytes */
	__u16 source_port, target_port; /* in host order; ICMP echo: its identifier, twice */
	__u8 family;                    /* 4, 6 */
	__u8 protocol;
	__u8 hops;
	__u8 icmp;                      /* type of ICMP and ICMPv6 */
	__u8 flags;                     /* of TCP */
	__u8 fragment;
	__u8 has_ports;                 /* TCP, UDP and SCTP; the number that a rule compares is target_port */
	__u8 zero;
	__u32 fragment_id;
	__u32 payload;                  /* offset behind the IP headers */
};

_Static_assert(sizeof(struct packet) == 56, "mnp_ebpf/program.py has this number, too");

static ALWAYS_INLINE int is_icmp(const struct packet *packet)
{
	return packet->protocol == (packet->family == 4 ? ICMP : ICMPV6);
}

static ALWAYS_INLINE int is_echo(const struct packet *packet)
{
	return packet->family == 4 ? packet->icmp == 8 || packet->icmp == 0 : packet->icmp == 128 || packet->icmp == 129;
}

static ALWAYS_INLINE int is_echo_request(const struct packet *packet)
{
	return packet->icmp == (packet->family == 4 ? 8 : 128);
}

/* Fill in what stands behind the IP headers. Too short a packet has no ports, and so no rule with ports allows it. */
static ALWAYS_INLINE void read_transport(context *skb, struct packet *packet)
{
	__u8 head[8] = {};
	__u8 flags;

	if (packet->fragment == LATER || load_bytes(skb, packet->payload, head, sizeof(head)))
		return;
	if (is_icmp(packet)) {
		packet->icmp = head[0];
		if (is_echo(packet))
			packet->source_port = packet->target_port = head[4] << 8 | head[5];
		return;
	}
	if (packet->protocol != TCP && packet->protocol != UDP && packet->protocol != SCTP)
		return;
	packet->has_ports = 1;
	packet->source_port = head[0] << 8 | head[1];
	packet->target_port = head[2] << 8 | head[3];
	if (packet->protocol == TCP && !load_bytes(skb, packet->payload + 13, &flags, 1))
		packet->flags = flags;
}

static ALWAYS_INLINE int read_ipv4(context *skb, __u32 offset, struct packet *packet)
{
	__u8 head[20];
	__u16 position;

	if (load_bytes(skb, offset, head, sizeof(head)) || head[0] >> 4 != 4 || (head[0] & 15) < 5)
		return MALFORMED;
	packet->family = 4;
	packet->hops = head[8];
	packet->protocol = head[9];
	__builtin_memcpy(packet->source.bytes, head + 12, 4);
	__builtin_memcpy(packet->target.bytes, head + 16, 4);
	position = (head[6] << 8 | head[7]) & 0x3fff; /* more fragments, and the offset */
	if (position)
		packet->fragment = position & 0x1fff ? LATER : FIRST;
	packet->fragment_id = head[4] << 8 | head[5];
	packet->payload = offset + (head[0] & 15) * 4;
	return 0;
}

static ALWAYS_INLINE int read_ipv6(context *skb, __u32 offset, struct packet *packet)
{
	__u8 head[40];
	__u8 next[8];
	__u8 kind;

	if (load_bytes(skb, offset, head, sizeof(head)) || head[0] >> 4 != 6)
		return MALFORMED;
	packet->family = 6;
	packet->hops = head[7];
	__builtin_memcpy(packet->source.bytes, head + 8, 16);
	__builtin_memcpy(packet->target.bytes, head + 24, 16);
	kind = head[6];
	offset += 40;
	for (int header = 0; header < MOST_HEADERS; header++) {
		if (kind != HOP_BY_HOP && kind != ROUTING && kind != FRAGMENT && kind != AUTHENTICATION &&
		    kind != DESTINATION_OPTIONS && kind != MOBILITY)
			break;
		if (packet->fragment == LATER || load_bytes(skb, offset, next, sizeof(next)))
			break; /* the number of the header that cannot be read stays: no rule with ports names it */
		if (kind == FRAGMENT) {
			__u16 position = next[2] << 8 | next[3];

			if (position & 0xfff9)
				packet->fragment = position & 0xfff8 ? LATER : FIRST;
			packet->fragment_id = (__u32)next[4] << 24 | next[5] << 16 | next[6] << 8 | next[7];
			offset += 8;
		} else if (kind == AUTHENTICATION) {
			offset += (next[1] + 2) * 4;
		} else {
			offset += (next[1] + 1) * 8;
		}
		kind = next[0];
	}
	packet->protocol = kind;
	packet->payload = offset;
	return 0;
}

/* Read the packet whose IP header begins at an offset: 0 or MALFORMED. */
GLOBAL int read_packet(context *skb, __u32 offset, struct packet *packet, __u32 family)
{
	int problem;

	if (!packet)
		return MALFORMED;
	problem = family == 4 ? read_ipv4(skb, offset, packet) : read_ipv6(skb, offset, packet);
	if (!problem)
		read_transport(skb, packet);
	return problem;
}

/*
 * The IP version and the offset of its header, as the frame says it: what a packet socket says of its own frame
 * (skb->protocol) need not be true. Frames with VLAN tags are looked into. 0: no IP.
 */
static ALWAYS_INLINE __u32 find_ip(context *skb, int has_ethernet, __u32 *offset)
{
	__u8 head[2];

	if (!has_ethernet) {
		*offset = 0;
		if (load_bytes(skb, 0, head, 1))
			return 0;
		return head[0] >> 4 == 4 || head[0] >> 4 == 6 ? head[0] >> 4 : 0;
	}
	*offset = 12;
	for (int tag = 0; tag < 3; tag++) {
		__u16 type;

		if (load_bytes(skb, *offset, head, sizeof(head)))
			return 0;
		type = head[0] << 8 | head[1];
		if (type == ETH_VLAN || type == ETH_QINQ) {
			*offset += 4;
			continue;
		}
		*offset += 2;
		return type == ETH_IPV4 ? 4 : type == ETH_IPV6 ? 6 : 0;
	}
	return 0;
}

#endif
