/*
 * The rules of a pod, as the agent writes them.
 *
 * A table holds the rules in force: entry 0 its length, then an entry for each interface, then the rules. There are two
 * places for tables, and STATE has the number of the one in force: a change is one store of four bytes.
 */
#ifndef MNP_RULES_H
#define MNP_RULES_H

#include "flows.h"

enum { TABLES_NUMBER = 2, GROUPS_NUMBER = 2048 };
enum { OPEN = 0, ISOLATED = 1, AUDITED = 2 };
enum { ETHERNET = 1, RECHECK = 2 }; /* flags of an interface: its frames begin so; no connection passes for itself */
enum { ANY = 0, IN_BLOCKS = 1, IN_GROUP = 2, ENDPOINT = 3 };
enum { ESTABLISHED = 0, DENIED = 1, RULES = 2 }; /* the first entries of each direction */

struct side {
	__u32 mode, first, number;
};

struct rule {
	__u8 peers, protocol, family, hops; /* 0: any, but for `peers` */
	__u16 first_port, last_port;        /* of ICMP: its type */
	__u32 set;                          /* number of the blocks, or of the group */
	__u32 zero[5];
};

struct head {
	__u32 interfaces;
	__u32 zero[7]; /* for the reader: where the names are */
};

struct interface {
	__u32 index, flags;
	struct side sides[2];
};

struct entry { /* 48 bytes */
	union {
		struct head head;
		struct interface interface;
		struct rule rule;
	};
	__u64 packets, bytes;
};

struct block_key {
	__u32 length; /* in bits, of what follows */
	__u32 set;    /* twice the number of the rule, and 1 for IPv6 */
	union address address;
};

struct member_key {
	union address address;
	__u16 port;
	__u8 protocol, family;
};

struct asked { /* of the callbacks of loops */
	struct packet packet;
	struct block_key block;
	struct member_key member;
	__u32 place; /* of the table */
	__u32 index; /* of the interface */
	__u32 first; /* entry that the loop begins with */
	__u32 found; /* entry; 0: none */
};

static ALWAYS_INLINE struct entry *entry_of(__u32 place, __u32 number)
{
	void *table = map_lookup(TABLES, &place);

	return table ? map_lookup(table, &number) : NULL;
}

static int is_interface(__u64 step, struct asked *asked)
{
	struct entry *entry = entry_of(asked->place, step + 1);

	if (!entry || entry->interface.index != asked->index)
		return 0;
	asked->found = step + 1;
	return 1;
}

static ALWAYS_INLINE int is_peer(struct asked *asked, const struct rule *rule)
{
	__u32 group = asked->place * GROUPS_NUMBER + rule->set;
	void *map;

	if (rule->peers == ANY)
		return 1;
	if (rule->peers == IN_BLOCKS) {
		map = map_lookup(BLOCKS, &asked->place);
		asked->block.set = rule->set << 1 | (asked->packet.family == 6);
		return map && map_lookup(map, &asked->block);
	}
	map = map_lookup(GROUPS, &group);
	asked->member.protocol = 0;
	asked->member.port = 0;
	if (rule->peers == ENDPOINT && asked->packet.fragment != LATER) {
		asked->member.protocol = asked->packet.protocol;
		asked->member.port = asked->packet.target_port;
	}
	return map && map_lookup(map, &asked->member);
}

/* A fragment without ports matches if the rule may allow its first one: without that one it is never put together. */
static int is_allowed_by(__u64 step, struct asked *asked)
{
	struct entry *entry = entry_of(asked->place, asked->first + step);
	const struct packet *packet = &asked->packet;
	const struct rule *rule;
	__u16 port;

	if (!entry)
		return 1;
	rule = &entry->rule;
	if (rule->family && rule->family != packet->family)
		return 0;
	if (packet->fragment != LATER) {
		if (rule->protocol && rule->protocol != packet->protocol)
			return 0;
		if (rule->hops && rule->hops != packet->hops)
			return 0;
		if (rule->first_port != 0 || rule->last_port != 0xffff) {
			port = is_icmp(packet) ? packet->icmp : packet->target_port;
			if (!is_icmp(packet) && !packet->has_ports)
				return 0;
			if (port < rule->first_port || port > rule->last_port)
				return 0;
		}
	} else if (rule->hops) {
		return 0;
	}
	if (!is_peer(asked, rule))
		return 0;
	asked->found = asked->first + step;
	return 1;
}

static ALWAYS_INLINE void count(__u32 place, __u32 number, __u32 bytes)
{
	struct entry *entry = entry_of(place, number);

	if (!entry)
		return;
	__sync_fetch_and_add(&entry->packets, 1);
	__sync_fetch_and_add(&entry->bytes, bytes);
}

static ALWAYS_INLINE void set_peer(struct asked *asked, __u32 direction)
{
	union address peer = direction == INGRESS ? asked->packet.source : asked->packet.target;

	asked->block.length = asked->packet.family == 4 ? 64 : 160;
	asked->block.address = peer;
	asked->member.address = peer;
	asked->member.family = asked->packet.family;
}

/* The entry of the interface of a packet, in the table in force; NULL: there is none, and so no rules about it. */
static ALWAYS_INLINE struct entry *find_interface(struct asked *asked, __u32 index)
{
	__u32 zero = 0;
	__u32 *place = map_lookup(STATE, &zero);
	struct entry *entry;

	if (!place || *place >= TABLES_NUMBER)
		return NULL;
	asked->place = *place;
	asked->index = index;
	entry = entry_of(asked->place, 0);
	if (!entry)
		return NULL;
	loop(entry->head.interfaces, is_interface, asked, 0);
	return asked->found ? entry_of(asked->place, asked->found) : NULL;
}

/* Whether a rule allows the packet that is asked about; its entry is in `found`. */
static ALWAYS_INLINE int is_allowed(struct asked *asked, const struct side *side, __u32 direction)
{
	asked->found = 0;
	set_peer(asked, direction);
	asked->first = side->first + RULES;
	if (side->number > RULES)
		loop(side->number - RULES, is_allowed_by, asked, 0);
	return asked->found != 0;
}

#endif
