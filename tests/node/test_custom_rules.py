"""Custom rule files of a node that starts: tried before anything else."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.root


@pytest.mark.parametrize("dialect", ["nftables"])
def test_a_typing_error_in_a_custom_rule_file_ends_the_start(tmp_path, dialect):
    """Section 7: a node that is ready and enforces nowhere is worse than one that says why it does not start."""
    (tmp_path / "in4").write_text("# the web\ntcp dprot 80 accept\n")
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"backend": dialect, "custom-v4-ingress-rule-file": "in4", "listen": ""}))
    program = Path(sys.executable).with_name("multi-network-policy-node")
    done = subprocess.run(
        [program, "--settings", settings, "--master", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode not in {0, 70}
    assert "custom-v4-ingress-rule-file: in4: line 2: " in done.stderr
    assert "tcp dprot 80 accept" in done.stderr
    assert "Traceback" not in done.stderr
