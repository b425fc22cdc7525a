"""What the agent keeps out of its process."""

import subprocess
import sys

import pytest

from mnp_core.telemetry.absent import absent


def test_an_absent_module_cannot_be_imported_and_is_back_afterwards():
    sys.modules.pop("colorsys", None)
    with absent("colorsys"), pytest.raises(ImportError):
        import colorsys  # noqa: PLC0415 - the subject
    import colorsys  # noqa: PLC0415 - likewise

    assert colorsys.rgb_to_hsv(1, 1, 1) == (0, 0, 1)


def test_the_agent_imports_nothing_that_draws():
    program = (
        "import sys, mnp_core.cli.node, mnp_core.telemetry.logs, mnp_core.node.assembly;"
        "print([name for name in ('rich', 'pygments') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
