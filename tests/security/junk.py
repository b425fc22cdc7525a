"""Junk that a process with NET_ADMIN in a pod can put into its own network namespace, as far as the kernel takes it.

Each kind is a function that is called inside the namespace with a source of chance, and puts some there. Junk
refused by the kernel is no error. Other packet filters and devices add kinds of their own to `KINDS`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random

from mnp_core.netfilter.attributes import attribute, nested, number
from mnp_core.netfilter.batch import BatchWriter
from mnp_core.netfilter.messages import (
    APPEND,
    CREATE,
    DELETE_CHAIN,
    DELETE_RULE,
    DELETE_SET,
    DELETE_TABLE,
    NEW_CHAIN,
    NEW_ELEMENTS,
    NEW_RULE,
    NEW_SET,
    NEW_TABLE,
)
from mnp_core.netfilter.nfnetlink import Nfnetlink, RefusedError, UnansweredError
from mnp_nftables.expressions import accept, counter, drop, expression, meta

OURS = b"mnp"
SEGFAULT = b"\3\x0c\0\4\0\0\0\0\1\4\0\0\0\0"
"""User data of a set that ends whoever lists it by libnftables 1.0.6."""

_NAMES = (
    *(b"state", b"ingress", b"output", b"forward", b"ingress-net1", b"egress-net1", b"custom-ingress-ipv4"),
    *(b"\xff\xfe", b'"; }'),
)
_HOOKS = range(5)


def commit(*messages: tuple[int, bytes]) -> None:
    """Try one transaction."""
    writer = BatchWriter()
    for kind, body in messages:
        writer.add(kind, CREATE | (APPEND if kind == NEW_RULE else 0), body)
    with Nfnetlink() as kernel, suppress(RefusedError, UnansweredError):
        kernel.commit(writer.batch())


def name(chance: Random) -> bytes:
    """A name of ours, or one that is no text."""
    if chance.random() < 0.6:
        return chance.choice(_NAMES)
    return bytes(chance.randrange(1, 256) for _ in range(chance.randrange(1, 60)))


def userdata(chance: Random) -> bytes:
    """Bytes of any meaning, or such as libnftables reads."""
    if chance.random() < 0.5:
        return chance.choice([SEGFAULT, b"\0\xff", b"\0\0", b"\3\0", b"\7\4\0\0", b"\0\4\xff\xff\xff\xff"])
    return chance.randbytes(chance.randrange(1, 200))


def table(chance: Random) -> bytes:
    """The table that something is put into: ours, most often."""
    return attribute(1, (OURS if chance.random() < 0.7 else b"theirs") + b"\0")


def tables(chance: Random) -> None:
    """Tables, dormant ones too, by the thousand now and then."""
    more = range(chance.choice([1, 1, 1, 1000]))
    commit(*((NEW_TABLE, attribute(1, b"t%d\0" % index) + number(2, 0)) for index in more))
    commit((NEW_TABLE, table(chance) + number(2, chance.choice([0, 1]))))


def sets(chance: Random) -> None:
    """Sets of all kinds and sizes, with user data, and elements in them."""
    where, own = table(chance), attribute(2, name(chance) + b"\0")
    shape = (
        number(3, chance.choice([0, 0, 4, 8, 0x10, 0x20])),
        number(4, chance.choice([7, 8, 13, 0xFFFFFFFF, chance.getrandbits(32)])),
        number(5, chance.choice([4, 16, 2, 64])),
        number(10, 1),
        attribute(13, userdata(chance)),
    )
    commit((NEW_TABLE, where + number(2, 0)), (NEW_SET, where + own + b"".join(shape)))
    keys = (nested(1, nested(1, attribute(1, chance.randbytes(4))) + attribute(6, userdata(chance))) for _ in range(50))
    commit((NEW_ELEMENTS, where + own + nested(3, b"".join(keys))))


def chains(chance: Random) -> None:
    """Chains, hooked in anywhere, with any policy."""
    where, own = table(chance), attribute(3, name(chance) + b"\0")
    hook = nested(4, number(1, chance.choice(_HOOKS)) + number(2, chance.randrange(-300, 300)))
    base = hook + number(5, chance.choice([0, 1])) + attribute(7, b"filter\0")
    commit((NEW_TABLE, where + number(2, 0)), (NEW_CHAIN, where + own + chance.choice([b"", base])))


def rules(chance: Random) -> None:
    """Rules, in our chains too, with user data."""
    where, own = table(chance), attribute(2, name(chance) + b"\0")
    body = b"".join(chance.choice([counter(), accept(), drop(), meta(6), expression("notrack")]) for _ in range(3))
    commit((NEW_RULE, where + own + nested(4, body) + attribute(7, userdata(chance))))


def removals(chance: Random) -> None:
    """Our objects may go."""
    where = attribute(1, OURS + b"\0")
    commit(
        chance.choice(
            [
                (DELETE_TABLE, where),
                (DELETE_RULE, where),
                (DELETE_RULE, where + attribute(2, name(chance) + b"\0")),
                (DELETE_CHAIN, where + attribute(3, name(chance) + b"\0")),
                (DELETE_SET, where + attribute(2, name(chance) + b"\0")),
            ]
        )
    )


def storm(chance: Random) -> None:
    """Commits, one after the other."""
    for _ in range(chance.choice([5, 50])):
        commit((NEW_TABLE, attribute(1, b"storm\0") + number(2, 0)))
        commit((DELETE_TABLE, attribute(1, b"storm\0")))


KINDS: Mapping[str, Callable[[Random], None]] = {
    each.__name__: each for each in (tables, sets, chains, rules, removals, storm)
}
