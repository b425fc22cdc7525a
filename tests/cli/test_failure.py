import os
import signal

import click
import pytest

from mnp_core.cli.entrypoint import run_command
from mnp_core.errors import InputError


def run(work, *arguments):
    @click.command()
    @click.option("--number", type=int)
    def command(number):  # noqa: ARG001 - a wrong command line never gets here
        return work()

    return run_command(lambda: command, arguments)


def raiser(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (1, 1), ("text", 0)])
def test_the_exit_status_is_the_commands_result(returned, status):
    assert run(lambda: returned) == status


def test_our_errors_are_one_message(capsys):
    assert run(raiser(InputError("is wrong", where="a.yaml", field="spec"))) == 2
    assert capsys.readouterr() == ("", "Error: a.yaml: spec: is wrong\n")


def test_wrong_usage_is_explained(capsys):
    assert run(lambda: 0, "--number", "x") == 2
    assert "'x' is not a valid integer" in capsys.readouterr().err


def test_help_is_no_failure(capsys):
    assert run(raiser(AssertionError), "--help") == 0
    assert "--number" in capsys.readouterr().out


def test_a_defect_is_short_and_says_how_to_see_more(capsys, monkeypatch):
    monkeypatch.delenv("MNP_DEBUG", raising=False)
    assert run(raiser(ZeroDivisionError("by nothing"))) == 70
    said = capsys.readouterr().err
    assert "ZeroDivisionError: by nothing" in said
    assert "MNP_DEBUG=1" in said
    assert "Traceback" not in said


def test_a_defect_has_a_traceback_on_demand(capsys, monkeypatch):
    monkeypatch.setenv("MNP_DEBUG", "1")
    assert run(raiser(ZeroDivisionError("by nothing"))) == 70
    assert "Traceback" in capsys.readouterr().err


def test_interrupted(capsys):
    assert run(raiser(KeyboardInterrupt())) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_lets_the_command_clean_up(number):
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            cleaned.append(number)

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught:
        run(work)
    assert caught.value.code == 128 + number
    assert cleaned == [number]
    assert signal.getsignal(number) == before
