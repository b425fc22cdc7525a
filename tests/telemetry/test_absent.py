"""What the agent keeps out of its process."""

import subprocess
import sys

import pytest

from mnp_core.telemetry.absent import absent, deferred


def test_an_absent_module_cannot_be_imported_and_is_back_afterwards():
    sys.modules.pop("colorsys", None)
    with absent("colorsys"), pytest.raises(ImportError):
        import colorsys  # noqa: PLC0415 - the subject
    import colorsys  # noqa: PLC0415 - likewise

    assert colorsys.rgb_to_hsv(1, 1, 1) == (0, 0, 1)


def test_a_deferred_module_is_imported_when_it_is_used():
    sys.modules.pop("colorsys", None)
    with deferred("colorsys"):
        import colorsys as used  # noqa: PLC0415 - the subject
    assert "colorsys" not in sys.modules
    assert used.rgb_to_hsv(1, 1, 1) == (0, 0, 1)
    assert "colorsys" in sys.modules


def test_the_agent_imports_no_library_that_it_does_not_use():
    program = (
        "import sys, mnp_core.cli.node, mnp_core.telemetry.logs, mnp_core.node.assembly;"
        "unused = ('rich', 'pygments', 'asyncio', 'grpc', 'google.protobuf');"
        "print([name for name in unused if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
