"""The kit's checks of renderers and appliers, and its packets, with the fake filter."""

import json

import pytest
from mnp_slate.backend import REFUSES, SlateApplier, SlateRenderer, passes, slate

from mnp_core.model import Direction, parse_address
from mnp_core.testing.conformance import ApplierConformance, RendererConformance
from mnp_core.testing.corpus import CORPUS
from mnp_core.testing.oracle import questions

OWN = [parse_address("10.0.0.1"), parse_address("fd00::1")]


class TestSlate(RendererConformance, ApplierConformance):
    refuses = REFUSES

    @pytest.fixture(autouse=True)
    def _slates(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SLATES", str(tmp_path))

    def make_renderer(self):
        return SlateRenderer()

    def make_applier(self):
        return SlateApplier()

    def everything(self):
        return sorted((path.name, path.read_text()) for path in slate().parent.glob(f"{slate().stem}.*"))

    def put_foreign_rules(self):
        slate("theirs").write_text("rules of others")

    def foreign_rules(self):
        return slate("theirs").read_text()

    def tampering(self):
        yield "wiped", lambda: slate().unlink()
        yield "a rule is rubbed out", lambda: self.rewrite("interfaces", "net1", "Ingress")
        yield "a member is rubbed out", lambda: self.rewrite("sets", "a" * 20)

    def rewrite(self, *path):
        whole = found = json.loads(slate().read_text())
        for name in path:
            found = found[name]
        found.pop()
        slate().write_text(json.dumps(whole))


@pytest.mark.parametrize("case", CORPUS)
@pytest.mark.parametrize("direction", Direction)
def test_the_fake_filter_follows_policies(case, direction):
    policy = CORPUS[case].policy
    text = SlateRenderer().render(policy).text
    asked = questions(policy, "net1", direction, OWN)
    assert asked
    wrong = [str(each) for each in asked if passes(text, "net1", direction, each.packet) != each.verdict.allowed]
    assert wrong == []
