"""Programs that run in a cluster: `mnp aggregate`, `mnp admit`."""

import pytest

from mnp_core.cli import main

BOTH = [
    (["--master", "nonsense"], "is not the URL of a server"),
    (["--master", "http://127.0.0.1:1", "--listen", "x"], "is not an address to listen on"),
    (["--log-format", "xml"], "is not one of"),
    ([], "this is not a pod of a cluster"),
]
OWN = {
    "aggregate": [(["--writes-per-second", "0"], "is not in the range")],
    "admit": [(["--refuse", "Shadowed"], "did you mean Shadowed")],
}


@pytest.mark.parametrize(
    ("command", "options", "said"), [(command, *case) for command, own in OWN.items() for case in (*BOTH, *own)]
)
def test_wrong_options_are_errors(command, options, said, capsys, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(SystemExit) as ended:
        main([command, *options])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
