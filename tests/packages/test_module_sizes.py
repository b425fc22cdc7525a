"""One noun a module: product code stays readable at one sitting."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 400  # lines
MOST_IN_AGENT = 10  # modules; every one of them is part of one state machine
MODULES = sorted(
    path for folder in ("mnp_core", *ROOT.glob("plugins/*/mnp_*")) for path in (ROOT / folder).rglob("*.py")
)


def test_modules_are_found():
    assert {"mnp_core", "mnp_nftables", "mnp_iptables", "mnp_lab"} <= {part for path in MODULES for part in path.parts}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_short(path):
    assert len(path.read_text().splitlines()) <= LIMIT, "split it by noun"


def test_agent_has_few_modules():
    found = [path.name for path in (ROOT / "mnp_core" / "agent").glob("*.py") if path.name != "__init__.py"]
    assert 0 < len(found) <= MOST_IN_AGENT, "what is of use without the agent's state belongs elsewhere"
