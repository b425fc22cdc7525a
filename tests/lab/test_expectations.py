"""Files of expectations: their meaning, and errors for meaningless ones."""

import pytest

from mnp_core.errors import InputError
from mnp_core.offline.probe import ProbeResult, ProbeVerdict
from mnp_lab.expectations import Check, load_expectations
from mnp_lab.plan import plan_lab
from tests.lab.manifests import nad, pod, subnet

PLAN = plan_lab(
    [
        nad("net", type="host-local", ranges=[[{"subnet": "10.0.0.0/24"}], [{"subnet": "fd00::/64"}]]),
        subnet("10.1.0.0/24", "alone"),
        pod("web-1", namespace="shop", networks="default/net"),
        pod("web-2", namespace="shop", networks="default/net"),
        pod("db", namespace="data", networks="default/net"),
        pod("far", namespace="data", networks="default/alone"),
    ]
)


@pytest.fixture
def loaded(tmp_path):
    def load(text):
        path = tmp_path / "expectations.yaml"
        path.write_text(text)
        return load_expectations(path)

    return load


def test_list_and_object_mean_the_same(loaded):
    entry = "- {from: shop/web-1, to: data/db, port: tcp:80, expect: allowed}"
    (alone,), (within,) = loaded(entry), loaded(f"kind: Expectations\nexpectations:\n{entry}\n---\nkind: Other\n")
    assert alone.probes(PLAN).probes == within.probes(PLAN).probes


def test_patterns_lists_ports_and_family(loaded):
    (expectation,) = loaded(
        "[{from: [shop/*, data/far], to: data/d*, ports: [tcp:80, icmp], family: IPv6, expect: denied}]"
    )
    assert [str(probe) for probe in expectation.probes(PLAN).probes] == [
        "shop/web-1 -> data/db (fd00::2) tcp:80",
        "shop/web-1 -> data/db (fd00::2) icmp",
        "shop/web-2 -> data/db (fd00::2) tcp:80",
        "shop/web-2 -> data/db (fd00::2) icmp",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- [", ["document 1, line 2", "not YAML"]),
        ("- {from: a/b, from: a/c}", ["line 1", "the key from stands twice"]),
        ("kind: Other", ["expects nothing"]),
        ("", ["expects nothing"]),
        ("a text", ["must be a list"]),
        ("- {from: web, to: a/b, port: icmp, expect: allowed}", ["entry 1: from", "must be namespace/pod"]),
        ("- {from: [], to: a/b, port: icmp, expect: allowed}", ["entry 1: from", "must be namespace/pod"]),
        ("- {from: a/b, to: a/b, port: tcp, expect: allowed}", ["entry 1: port", "is not a probe"]),
        ("- {from: a/b, to: a/b, port: 80, expect: allowed}", ["entry 1: port", "must be a string"]),
        ("- {from: a/b, to: a/b, expect: allowed}", ["entry 1", "needs a port"]),
        ("- {from: a/b, to: a/b, port: icmp, expect: perhaps}", ["entry 1: expect", "must be one of allowed, denied"]),
        ("- {from: a/b, to: a/b, port: icmp, expect: [x]}", ["entry 1: expect", "must be one of"]),
        ("- {from: a/b, to: a/b, port: icmp, expect: error}", ["entry 1: expect", "must be one of"]),
        ("- {from: a/b, to: a/b, port: icmp, expected: denied}", ["entry 1", "'expected' is not a field"]),
        ("- {from: a/b, to: a/b, port: icmp, expect: denied, family: 6}", ["entry 1: family", "must be a string"]),
        ("- 3", ["entry 1", "must be a mapping"]),
    ],
)
def test_malformed_expectation_is_named_with_entry_and_field(loaded, text, words):
    with pytest.raises(InputError) as caught:
        loaded(text)
    assert all(word in str(caught.value) for word in ["expectations.yaml", *words]), str(caught.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{from: shop/nobody, to: data/db, port: icmp, expect: denied}", ["from", "no pod is called 'shop/nobody'"]),
        ("{from: shop/*, to: data/far, port: icmp, expect: denied}", ["nothing to probe"]),
        ("{from: data/db, to: data/db, port: icmp, expect: denied}", ["nothing to probe"]),
        ("{from: shop/*, to: data/db, port: icmp, network: other/net, expect: denied}", ["nothing to probe"]),
    ],
)
def test_an_expectation_that_could_never_fail_is_an_error(loaded, entry, words):
    (expectation,) = loaded(f"- {entry}")
    found = expectation.probes(PLAN)
    (error,) = found.errors
    assert found.probes == ()
    assert all(word in str(error) for word in ["entry 1", *words]), str(error)


@pytest.mark.parametrize(
    ("expected", "got", "passed", "may_be_chance"),
    [
        ("allowed", "allowed", True, False),
        ("allowed", "denied", False, True),
        ("denied", "allowed", False, False),
        ("denied", "refused", False, False),
        ("refused", "denied", False, True),
    ],
)
def test_a_packet_against_the_policy_is_never_chance(loaded, expected, got, passed, may_be_chance):
    (expectation,) = loaded(f"[{{from: shop/web-1, to: data/db, port: icmp, family: IPv4, expect: {expected}}}]")
    (probe,) = expectation.probes(PLAN).probes
    check = Check(expectation=expectation, result=ProbeResult(probe=probe, verdict=ProbeVerdict(got)))
    assert (check.passed, check.may_be_chance) == (passed, may_be_chance)
