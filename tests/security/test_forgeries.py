"""A tenant's gain from forged objects (docs/security.md): each row is tried, and measured by packets."""

import re
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from mnp_core.errors import InputError
from mnp_core.model import AddressSource, Reason
from mnp_core.sandbox.links import read_links
from mnp_core.sandbox.netns import run_inside
from mnp_core.sources.manifests import load_documents
from tests.security.forgeries import DEFINITION_CHANGED, FORGERIES, RENAMED, Forgery, into
from tests.security.tenants import BY_RIGHT, HONEST, NUMBERS, Shared, entry, pod

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def rows():
    """First cells of the table."""
    section = PAGE.read_text().partition("## What a tenant can gain by writing objects\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [re.match(r"\| (.*?) \|", line)[1] for line in lines[2:]]


def test_every_row_of_the_table_is_tried():
    assert rows() == list(dict.fromkeys(_in_order(forgery.row for forgery in FORGERIES)))


def _in_order(found):
    """As the page has them."""
    order = rows()
    return sorted(found, key=lambda row: order.index(row) if row in order else -1)


@pytest.fixture(scope="module")
def shared():
    """The rig, for each way of believing; made when it is needed."""
    with ExitStack() as cleanup:
        yield cache(lambda believed: cleanup.enter_context(Shared(believed)))


def after(forgery):
    """All manifests, with the forgery."""
    replaced = {_name(manifest): manifest for manifest in HONEST} | {_name(m): m for m in forgery.written}
    return [manifest for name, manifest in replaced.items() if name not in forgery.gone]


def _name(manifest):
    metadata = manifest["metadata"]
    home = metadata.get("namespace")
    group = manifest["apiVersion"].rpartition("/")[0]
    kind = manifest["kind"] + ("" if group in {"", "k8s.cni.cncf.io"} else f".{group}")
    return kind, f"{home}/{metadata['name']}" if home else metadata["name"]


def place(end):
    return f"{end.pod or 'outside'}:{end.interface}"


def changed(gained, lost):
    """The expected verdicts of packets."""
    pairs = dict.fromkeys(gained, True) | dict.fromkeys(lost, False)
    return {p: pairs.get((place(p.source), place(p.destination)), reaches) for p, reaches in BY_RIGHT.items()}


@pytest.mark.root
@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: f"{forgery.row[:40]}: {forgery.case}"[:90])
def test_gain_and_report_of_each_forgery(shared, forgery):
    """S6, S64: packets between all pods say who reaches whom; once it is taken back, all is as before."""
    rig = shared(forgery.believed)
    assert rig.wrong(BY_RIGHT) == {}
    try:
        reports = rig.tell(after(forgery)).reports
        assert rig.wrong(changed(forgery.gained, forgery.lost)) == {}
        assert {report.reason for report in reports} == forgery.told
    finally:
        restored = rig.tell(HONEST)
    assert restored.reports == ()


@pytest.fixture
def rig(shared):
    rig = shared(AddressSource.NETWORK_STATUS)
    yield rig
    assert rig.tell(HONEST).reports == ()
    assert rig.wrong(BY_RIGHT) == {}


@pytest.mark.root
def test_a_renamed_interface_with_a_known_mac_address_is_found(rig):
    links = run_inside(rig.sandbox("tenant/mallory"), read_links)
    (mac,) = (link.mac for link in links if link.name == "net1")
    forgery = Forgery(row=RENAMED, case="told", written=(pod("tenant/mallory", entry(4, "net9", mac=mac)),))
    report, stray = sorted(rig.tell(after(forgery)).reports, key=lambda each: each.reason is not Reason.UNENFORCEABLE)
    assert (report.reason, str(report.about)) == (Reason.UNENFORCEABLE, "Pod tenant/mallory")
    assert stray.reason is Reason.UNCLAIMED_INTERFACE
    assert "'net1' has its MAC address" in report.message
    assert rig.wrong(changed(into("tenant/mallory"), ())) == {}


@pytest.mark.root
def test_a_definition_of_an_unknown_type_is_reported_with_each_pod_and_policy(rig):
    (forgery,) = (forgery for forgery in FORGERIES if forgery.row == DEFINITION_CHANGED)
    pods = {f"Pod {name}" for name in NUMBERS}
    policies = {"MultiNetworkPolicy prod/web", "MultiNetworkPolicy tenant/quarantine"}
    assert {str(report.about) for report in rig.tell(after(forgery)).reports} == pods | policies


NAMES = "abcdefghi"
BOMB = "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}' if before else 'x'] * 9)}]"
    for before, name in zip(("", *NAMES), NAMES, strict=False)
)


@pytest.mark.root
@pytest.mark.parametrize("text", [BOMB, "{" * 100_000, "a: " * 50_000, "kind: Pod\n---\n- 1\n", "\0"], ids=range(5))
def test_manifests_that_are_bombs_are_refused_with_their_place_and_change_nothing(rig, tmp_path, text):
    """Of the row about objects with wrong types; before anything of them is looked at."""
    file = tmp_path / "bomb.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(str(file))):
        rig.tell(document.raw for document in load_documents([file]))
    assert rig.agent.reports() == ()
