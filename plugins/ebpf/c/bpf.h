/*
 * What the programs take from the kernel: the part of <linux/bpf.h> that they use, which never changes. With it here, a
 * compiler is all that a build needs.
 */
#ifndef MNP_BPF_H
#define MNP_BPF_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define NULL ((void *)0)
#define ALWAYS_INLINE inline __attribute__((always_inline))
/* A function that the verifier looks at once, whoever calls it: its arguments are in build.py, too. */
#define GLOBAL __attribute__((noinline))

#ifdef XDP
struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
typedef struct xdp_md context;
#else
struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex;
	__u32 ifindex;
};
typedef struct __sk_buff context;
#endif

enum { BPF_ANY = 0, BPF_NOEXIST = 1 };

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static long (*map_update)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*map_delete)(void *map, const void *key) = (void *)3;
#ifdef XDP
static long (*load_bytes)(const context *packet, __u32 offset, void *to, __u32 length) = (void *)189;
static __u64 (*length_of)(context *packet) = (void *)188;
#else
static long (*load_bytes)(const context *packet, __u32 offset, void *to, __u32 length) = (void *)26;
#endif
static __u64 (*nanoseconds)(void) = (void *)5;
static long (*loop)(__u32 number, void *callback, void *context, __u64 flags) = (void *)181;

/*
 * Maps and constants are put in when a program is loaded: the build finds these numbers in the code and lists their
 * places. So the object needs no ELF, no BTF and no libbpf to be loaded. The numbers are in build.py, too.
 */
#define PATCHED(number)                                                                                                \
	({                                                                                                             \
		__u64 patched_;                                                                                        \
		asm volatile("%0 = " #number " ll" : "=r"(patched_));                                                  \
		patched_;                                                                                              \
	})
#define STATE ((void *)PATCHED(0x6d6e700100000001))
#define TABLES ((void *)PATCHED(0x6d6e700100000002))
#define BLOCKS ((void *)PATCHED(0x6d6e700100000003))
#define GROUPS ((void *)PATCHED(0x6d6e700100000004))
#define FLOWS ((void *)PATCHED(0x6d6e700100000005))
#define NASCENT ((void *)PATCHED(0x6d6e700100000006))
#define FRAGMENTS ((void *)PATCHED(0x6d6e700100000007))
#define COUNTS ((void *)PATCHED(0x6d6e700100000008))
#define DIRECTION ((__u32)PATCHED(0x6d6e700200000001))

#endif
