"""The tally of summaries: equal to a count from nothing, whatever the order of arrival."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mnp_core.conditions.summary import NodeSummary, PolicyFault, State
from mnp_core.conditions.tally import PolicyCount, Tally
from mnp_core.model import ObjectName
from mnp_core.model.change import MODULUS

NAMES = [ObjectName("demo", f"policy-{number}") for number in range(4)]
NODES = [f"node-{number}" for number in range(4)]
UNKNOWN = 2**63 + 12345
TOKENS = st.integers(min_value=1, max_value=6)
FAULTS = st.builds(
    PolicyFault,
    interfaces=st.integers(0, 3),
    state=st.sampled_from(State),
    reason=st.just("Refused"),
    message=st.just(""),
)


def summary(knows=0, enforced=(), faults=(), omitted=0):
    return NodeSummary(knows=knows, enforced=dict(enforced), faults=dict(faults), omitted=omitted)


def fault(state=State.FAILED, interfaces=1):
    return PolicyFault(interfaces=interfaces, state=state, reason="Refused", message="demo/web: no")


@st.composite
def worlds(draw):
    """Policies by name, and summaries of nodes that know all of them, or nothing that is known."""
    chosen = draw(st.lists(st.sampled_from(NAMES), unique=True))
    tokens = draw(st.lists(TOKENS, min_size=len(chosen), max_size=len(chosen), unique=True))
    policies = dict(zip(chosen, tokens, strict=True))
    fingerprint = sum(policies.values()) % MODULUS
    summaries = {}
    for node in draw(st.lists(st.sampled_from(NODES), unique=True)):
        faults = draw(st.dictionaries(TOKENS, FAULTS, max_size=2))
        enforced = draw(st.dictionaries(TOKENS, st.integers(0, 3), max_size=3))
        enforced = {token: number for token, number in enforced.items() if token not in faults}
        knows = fingerprint if draw(st.booleans()) else UNKNOWN
        summaries[node] = summary(knows, enforced, faults, draw(st.sampled_from([0, 0, 1])))
    return policies, summaries


def counted(policies, summaries, silent=frozenset()):
    """The counts, from nothing."""
    fingerprint = sum(policies.values()) % MODULUS
    return {name: _counted(token, fingerprint, summaries, silent) for name, token in policies.items()}


def _counted(token, fingerprint, summaries, silent):
    groups = {"enforced": set(), "pending": set(), "failed": set(), "unseen": set()}
    interfaces = 0
    for node, each in summaries.items():
        if token in each.enforced:
            groups["enforced"].add(node)
            interfaces += each.enforced[token]
        elif token in each.faults:
            found = each.faults[token]
            groups["failed" if found.state is State.FAILED else "pending"].add(node)
            interfaces += found.interfaces
        elif each.omitted or each.knows != fingerprint:
            groups["unseen"].add(node)
    quiet = set().union(*groups.values()) & silent
    failures = tuple((node, summaries[node].faults[token]) for node in sorted(groups["failed"] - silent))
    return PolicyCount(
        **{group: len(nodes - silent) for group, nodes in groups.items()},
        silent=len(quiet), interfaces=interfaces, failures=failures, nodes=len(summaries),
    )  # fmt: skip


@given(worlds(), worlds(), st.data())
@settings(max_examples=60, deadline=None)
def test_the_order_of_arrival_does_not_matter(before, after, data):
    """Another world before it, replaced in any order, leaves no trace either."""
    tally = Tally()
    for policies, summaries in (before, after):
        steps = [(tally.put_policy, name, (policies.get(name),)) for name in NAMES]
        steps += [(tally.put_summary, node, (summaries.get(node), 0.0)) for node in NODES]
        for put, key, value in data.draw(st.permutations(steps)):
            put(key, *value)
    policies, summaries = after
    knowing = {node for node, each in summaries.items() if each.knows != UNKNOWN and not each.omitted}
    expected = counted(policies, summaries)
    for name in policies:
        found = tally.count(name)
        if knowing == set(summaries):
            assert found == expected[name]
        else:  # a node without a known state keeps what it confirmed before
            assert found.unseen <= expected[name].unseen
            assert (found.enforced, found.failed) == (expected[name].enforced, expected[name].failed)
    assert {name for name in NAMES if tally.count(name) is not None} == set(policies)


@given(worlds(), st.sets(st.sampled_from(NODES)))
@settings(max_examples=40, deadline=None)
def test_nodes_without_news_are_silent_and_then_lost(world, quiet):
    policies, summaries = world
    tally = Tally()
    for name, token in policies.items():
        tally.put_policy(name, token)
    for node, each in summaries.items():
        tally.put_summary(node, each, 0.0 if node in quiet else 50.0)
    assert tally.expire(60.0, silent_after=60.0, lost_after=200.0) == []
    for name, expected in counted(policies, summaries, quiet & set(summaries)).items():
        assert tally.count(name) == expected
    assert set(tally.expire(200.0, silent_after=170.0, lost_after=200.0)) == quiet & set(summaries)
    rest = {node: each for node, each in summaries.items() if node not in quiet}
    for name, expected in counted(policies, rest).items():
        assert tally.count(name) == expected


def test_a_change_waits_for_every_node_that_may_have_pods_of_it():
    tally = Tally()
    tally.put_policy(NAMES[0], 5)
    tally.put_policy(NAMES[1], 7)
    for node in NODES:
        tally.put_summary(node, summary(12, {5: 1}), 0.0)
    assert tally.count(NAMES[1]).unseen == 0
    tally.take_changed()
    tally.put_policy(NAMES[1], 8)
    assert (tally.count(NAMES[0]).unseen, tally.count(NAMES[1]).unseen) == (0, 4)
    tally.put_summary(NODES[0], summary(13, {5: 1}), 1.0)
    tally.put_summary(NODES[1], summary(13, {5: 1, 8: 2}), 1.0)
    assert tally.count(NAMES[1]) == PolicyCount(
        enforced=1, pending=0, failed=0, silent=0, unseen=2, interfaces=2, failures=(), nodes=4
    )
    assert tally.take_changed() == {NAMES[1]}, "the other one is not looked at again"


def test_an_older_state_still_confirms_policies_that_have_not_changed_since():
    tally = Tally()
    tally.put_policy(NAMES[0], 5)
    tally.put_policy(NAMES[1], 7)
    tally.put_policy(NAMES[2], 1)
    tally.put_summary(NODES[0], summary(12), 0.0)
    assert [tally.count(name).unseen for name in NAMES[:3]] == [0, 0, 1]
    tally.put_summary(NODES[0], summary(UNKNOWN), 1.0)
    assert [tally.count(name).unseen for name in NAMES[:3]] == [0, 0, 1], "knowledge does not shrink"


def test_a_policy_that_is_changed_back_is_known_by_nodes_that_saw_it_before():
    tally = Tally()
    tally.put_policy(NAMES[0], 5)
    tally.put_summary(NODES[0], summary(5), 0.0)
    tally.put_policy(NAMES[0], 6)
    assert tally.count(NAMES[0]).unseen == 1
    tally.put_policy(NAMES[0], 5)
    assert tally.count(NAMES[0]).unseen == 0


def test_only_a_few_failing_nodes_are_named():
    tally = Tally()
    tally.put_policy(NAMES[0], 5)
    for number in range(20):
        tally.put_summary(f"node-{number:02}", summary(5, (), {5: fault()}), 0.0)
    found = tally.count(NAMES[0])
    assert found.failed == 20
    assert [node for node, _ in found.failures] == [f"node-{number:02}" for number in range(5)]
