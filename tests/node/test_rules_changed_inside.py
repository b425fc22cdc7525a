"""A process in a pod changes the rules there, but no name, comment or digest."""

import subprocess
import time

import pytest

from mnp_nftables import NftablesApplier
from tests.node.program import WEB

pytestmark = pytest.mark.root
IN_TIME = 15  # seconds on a machine that does other things too; 2 where nothing else runs
STRANGER = "10.10.0.3"
OURS = {  # without rules of others in the same table, which stay there, and without the numbers of sets
    "nftables": "nft -s list ruleset",
    "iptables-nft": (
        "{ for t in iptables ip6tables; do $t-nft-save -t mangle; done; ipset save; }"
        r" | sed -n '/^:/ d; s/\(mnp[46]-[a-z0-9]*\)-n[0-9]*/\1/; /MNP\|mnp/ p' | sort"
    ),
}
OPENINGS = {  # names, comments, sets and digests stay, with another meaning
    "verdict-nftables": (
        "nft list table inet mnp | sed 's/ drop/ accept/' | { echo delete table inet mnp; cat; } | nft -f -"
    ),
    "rule-nftables": "nft insert rule inet mnp ingress accept",
    "member-nftables": f"nft add element inet mnp $(nft list sets | grep -o 'g4-[a-z0-9]*') '{{ {STRANGER} }}'",
    "verdict-iptables-nft": "iptables-nft-save -t mangle | sed 's/-j DROP/-j ACCEPT/' | iptables-nft-restore",
    "stamp-iptables-nft": (
        r"iptables-nft-save -t mangle | sed 's/-j DROP/-j ACCEPT/; s/MNP-[a-z2-7]\{24\}/MNP-aaaaaaaaaaaaaaaaaaaaaaaa/'"
        " | { iptables-nft -t mangle -F; iptables-nft -t mangle -X; iptables-nft-restore; }"
    ),
    "rule-iptables-nft": "iptables-nft -t mangle -I PREROUTING -j ACCEPT",
    "member-iptables-nft": f"ipset add $(ipset list -n | grep mnp4) {STRANGER}",
}
QUICK = frozenset({"verdict-nftables", "rule-iptables-nft"})  # each of both sorts once, with each backend


def _marks(name):
    if name.startswith(("member", "stamp")):
        return [pytest.mark.long]
    return [] if name in QUICK else [pytest.mark.full]


CASES = [pytest.param(name, marks=_marks(name)) for name in OPENINGS]


def in_the_pod(node, script):
    """Run a script as a process in the pod with CAP_NET_ADMIN would."""
    return node.inside(
        WEB, lambda: subprocess.run(["sh", "-ec", script], check=True, capture_output=True, text=True).stdout
    )


@pytest.mark.parametrize("opening", CASES)
def test_a_pod_opened_from_inside_is_closed_again_under_any_stamp(node, opening):
    """S63: while the agent runs and while it does not; S62: correct rules are not rewritten at a start."""
    written_by = opening.partition("-")[2]
    node.set(backend=written_by)
    node.start()
    wanted = in_the_pod(node, OURS[written_by])

    def is_closed():
        return in_the_pod(node, OURS[written_by]) == wanted and node.allowed() == {"client"}

    assert is_closed()
    began = time.monotonic()
    in_the_pod(node, OPENINGS[opening])
    node.until(is_closed)
    assert time.monotonic() - began < IN_TIME

    assert node.end() == 0
    in_the_pod(node, OPENINGS[opening])
    assert "stranger" in node.allowed(), "nobody is there who could close it"
    node.start()
    node.until(is_closed)

    assert node.end() == 0
    before = commits(node)
    node.start()
    time.sleep(1)  # two looks at the present state
    assert node.end() == 0
    assert commits(node) == before
    assert is_closed()


def commits(node):
    """How often anything was committed in the pod's nf_tables."""
    return node.inside(WEB, NftablesApplier().generation)
