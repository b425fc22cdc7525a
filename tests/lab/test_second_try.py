"""A packet that seems to have got lost is sent once more: on a busy machine one answer in many is chance."""

from pathlib import Path

import pytest

from mnp_core.cli.objects import decode_objects
from mnp_core.offline.probe import ProbeResult, ProbeVerdict
from mnp_core.plugins import load_plugins
from mnp_core.settings import Settings
from mnp_core.sources.manifests import load_documents
from mnp_lab.cli.judgement import Judge, ask
from mnp_lab.plan import plan_lab
from mnp_lab.probe import plan_probes

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


class Lossy:
    """A lab without answers at first, and then with those of the policies, or with none ever."""

    def __init__(self, allowed):
        self.asked, self._allowed = [], allowed

    def probe(self, probes, timeout, **_):
        first = not self.asked
        self.asked.append((list(probes), timeout))
        return [ProbeResult(probe=each, verdict=self._verdict(each, first)) for each in probes]

    def _verdict(self, probe, first):
        return ProbeVerdict.ALLOWED if not first and probe in self._allowed else ProbeVerdict.DENIED


@pytest.mark.parametrize("arrives", [True, False])
def test_a_pair_that_no_policy_denies_is_asked_twice_and_others_once(arrives):
    plan = plan_lab(load_documents([QUICKSTART]))
    objects = decode_objects(plan.documents, load_plugins(), Settings())
    judge = Judge(objects=objects, open_ends={}, wished=objects)
    probes = plan_probes(plan)
    allowed = [probe for probe in probes if judge.explanation(probe).allowed]
    assert 0 < len(allowed) < len(probes)
    lab = Lossy(allowed if arrives else ())
    results = ask(lab, probes, judge, timeout=1.0, progress=lambda *_: None)
    assert lab.asked == [(list(probes), 1.0), (allowed, 2.0)]
    assert [each.probe for each in results if each.verdict is ProbeVerdict.ALLOWED] == (allowed if arrives else [])
