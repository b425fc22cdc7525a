"""Tables as bytes: any table of the iptables programs survives decoding and encoding."""

import pytest

from mnp_core.errors import ApplyError
from mnp_core.testing.netns import private_namespace
from mnp_iptables.restore import sockopt
from mnp_iptables.restore.blob import ACCEPT, DROP, LAYOUTS, Chain, Entry, Hooks, Table, decode, encode, standard
from plugins.iptables.tests.pods import Pod

pytestmark = pytest.mark.root

THEIRS = """*{table}
:INPUT DROP [7:700]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [3:300]
:Z - [0:0]
:EMPTY - [0:0]
:A - [0:0]
[5:500] -A INPUT -p tcp -m tcp --dport 80 -m comment --comment "a \\"b\\" c" -j A
-A INPUT -i eth+ -g Z
-A INPUT -m recent --rcheck --seconds 60 --name X
[9:900] -A A -p udp -j EMPTY
-A A -m limit --limit 5/min -j LOG --log-prefix "x"
-A Z -j A
-A Z -j DROP
-A OUTPUT -j EMPTY
COMMIT
"""


@pytest.fixture
def pod(cleanup):
    return Pod(cleanup.enter_context(private_namespace()), cleanup, "legacy")


@pytest.mark.parametrize("family", [4, 6])
def test_a_table_that_is_taken_apart_and_put_together_is_the_same(pod, family):
    """S49: to the programs of iptables, counters included."""
    tool = {4: "iptables", 6: "ip6tables"}[family]
    pod.program(f"{tool}-legacy-restore", "--counters", text=THEIRS.format(table="filter"))

    def saved():
        text = pod.program(f"{tool}-legacy-save", "-c", "-t", "filter")
        return [line for line in text.splitlines() if not line.startswith("#")]

    def rewrite():
        before = sockopt.read(family, "filter")
        sockopt.replace("filter", before.table, before)
        return before.table, sockopt.read(family, "filter").table

    before = saved()
    assert len(before) > 12
    old, new = pod.run(rewrite)
    assert new == old
    assert saved() == before


@pytest.mark.parametrize("family", [4, 6])
def test_a_table_survives_the_way_there_and_back(family):
    layout = LAYOUTS[family]
    jump, accept, drop = (standard(layout, verdict) for verdict in (0, ACCEPT, DROP))
    chains = {  # places count the headers and ends of chains too
        "INPUT": Chain(rules=[Entry(data=jump, jump="B", place=0)], policy=Entry(data=accept, place=1)),
        "A": Chain(rules=[Entry(data=drop, place=3)]),
        "B": Chain(rules=[Entry(data=jump, jump="A", place=6), Entry(data=standard(layout), place=7)]),
    }
    blob = encode(Table(layout=layout, chains=chains))
    assert blob.places == (0, 1, -1, 3, -1, -1, 6, 7, -1, -1)
    assert decode(layout, blob.hooks, blob.data) == Table(layout=layout, chains=chains)


def test_a_jump_to_nowhere_is_an_error():
    """A process in the pod may have written it without iptables."""
    layout = LAYOUTS[4]
    rules = [Entry(data=standard(layout, 8)), Entry(data=standard(layout, ACCEPT))]
    chains = {"INPUT": Chain(rules=rules, policy=Entry(data=standard(layout, ACCEPT)))}
    blob = encode(Table(layout=layout, chains=chains))
    with pytest.raises(ApplyError, match="middle of a chain"):
        decode(layout, Hooks(entries=blob.hooks.entries, underflows=blob.hooks.underflows), blob.data)
