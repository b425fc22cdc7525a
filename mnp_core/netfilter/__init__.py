"""Netfilter over netlink, for packet-filter backends: nothing is parsed without limits, and no library is loaded.

Any byte that the kernel returns may come from a process in the pod. Names need not be text, listings may be endless,
and user-space libraries abort on some of it (libnftables on names that are not UTF-8). These modules therefore walk
attributes themselves: malformed data ends a walk, a listing has a size limit, and no value raises an error.

============== ====================================================
`attributes`   netlink attributes: encode, walk, decode names
`netlink`      a socket: requests and dumps
`messages`     message types and flags
`uapi`         attribute types, by the header's names
`batch`        nf_tables transactions as bytes
`nfnetlink`    a netfilter socket: objects, batches
`kept`         netfilter sockets that stay open between conversations
`nf_tables`    generation, chains, rules, user data
`comments`     rule comments: encode, decode, length limit
`expressions`  expressions of nf_tables that look at packets
`port_classes` ports in classes, of which all are in the same lists
`unions`       several groups as one set
`tracing`      the kernel's trace of packets through all tables
============== ====================================================
"""
