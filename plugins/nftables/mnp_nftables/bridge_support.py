"""Whether this kernel tracks connections of bridged packets: tried once, in an empty network namespace."""

import ctypes
import os
import threading
from concurrent.futures import Future

from mnp_core.netfilter.nfnetlink import Nfnetlink, RefusedError
from mnp_nftables import terms
from mnp_nftables.frames import in_family
from mnp_nftables.rule import Chain, Rule
from mnp_nftables.transaction import STATE_CHAIN, messages_of

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_libc = ctypes.CDLL(None, use_errno=True)


def obstacle() -> str:
    """Why bridged packets cannot be filtered statefully here, with a remedy; empty if they can."""
    result: Future[str] = Future()

    def work() -> None:
        """Never come back from an empty network namespace of the thread's own."""
        try:
            result.set_result(_try())
        except BaseException as error:  # noqa: BLE001 - it belongs to the waiting thread
            result.set_exception(error)

    threading.Thread(target=work, name="bridge-support", daemon=True).start()
    try:
        return result.result()
    except OSError as error:
        return f"nf_tables does not answer: {error}"


def _try() -> str:
    if _libc.unshare(_CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        return f"a network namespace to try it in cannot be made ({reason}): run as root"
    chain = Chain(name=STATE_CHAIN, rules=(Rule.of(terms.state("new")),))
    try:
        with Nfnetlink() as kernel:
            kernel.commit(in_family(messages_of((), (chain,), (), {})))
    except RefusedError as refused:
        return (
            f"this kernel does not track connections on bridges ({refused}):"
            " load the module nf_conntrack_bridge (Linux 5.3)"
        )
    return ""
