"""Programs side by side: limits of time, number and size, and an end for all that they started."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnp_core.cli.fleet.asking import Answer, Limits, ask

SHELL = "/bin/sh"


def sh(script):
    return [SHELL, "-c", script]


def answers(commands, **limits):
    return {answer.key: answer for answer in ask(commands, Limits(**limits))}


def is_running(pid):
    """Whether it has not ended; an orphan that has is a zombie until the machine's init finds time for it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def gone(pid, seconds=5.0):
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_running(pid)


def test_each_has_its_own_answer():
    found = answers({"a": sh("echo one; echo noise >&2"), "b": sh("echo no >&2; exit 3"), "c": sh("exit 4")})
    assert found == {
        "a": Answer("a", b"one\n"),
        "b": Answer("b", failure="no"),
        "c": Answer("c", failure="it ended with status 4"),
    }


def test_time_of_one_is_not_the_time_of_others():
    began = time.monotonic()
    found = answers({"slow": sh("sleep 60"), "quick": sh("echo here")}, seconds=0.3)
    assert time.monotonic() - began < 5
    assert found["quick"].output == b"here\n"
    assert "no answer within 0.3 seconds" in found["slow"].failure


def test_after_the_time_for_all_nobody_is_asked():
    found = answers({name: sh("sleep 60") for name in "abcdef"}, at_once=2, seconds=60, total_seconds=0.3)
    assert sorted(found) == list("abcdef")
    assert sum("not asked: the time for all was up" in answer.failure for answer in found.values()) == 4


def test_so_many_run_at_once_and_no_more(tmp_path):
    script = f"touch {tmp_path}/$$; ls {tmp_path} | wc -l; sleep 0.1; rm {tmp_path}/$$"
    found = answers({str(number): sh(script) for number in range(12)}, at_once=3)
    assert max(int(answer.output) for answer in found.values()) == 3


def test_children_of_a_program_end_with_it(tmp_path):
    """One that ignores SIGTERM, too."""
    script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; wait; sleep 60"
    answers({"a": sh(script)}, seconds=0.3)
    assert gone(int((tmp_path / "pid").read_text()))


def test_output_that_a_programs_child_holds_open_ends_nothing_late():
    began = time.monotonic()
    found = answers({"a": sh("setsid sleep 5 & echo done")})
    assert (found["a"].output, time.monotonic() - began < 4) == (b"done\n", True)


def test_endless_output_is_cut_off():
    began = time.monotonic()
    (answer,) = ask({"a": sh("yes")}, Limits(), most_bytes=2**20)
    assert answer.failure == "its answer is larger than 1 MiB"
    assert time.monotonic() - began < 10


def test_last_words_are_safe_for_a_terminal():
    (answer,) = ask({"a": sh(r"printf 'first\nno\033[2J\nway\302\233\r\n' >&2; exit 1")}, Limits())
    assert answer.failure == r"no\x1b[2J way\x9b"


def test_a_program_that_is_not_there_is_a_failure_of_its_own():
    found = answers({"a": ["/nowhere/kubectl"], "b": sh("echo here")})
    assert found["b"].output == b"here\n"
    assert found["a"].failure == "kubectl cannot be started (No such file or directory)"


def test_nothing_runs_after_the_caller_stops_listening(tmp_path):
    slow = {str(number): sh(f"echo $$ > {tmp_path}/{number}; sleep 60") for number in range(3)}
    found = ask({**slow, "quick": sh(f"while [ ! -s {tmp_path}/2 ]; do sleep 0.01; done")}, Limits())
    assert next(found).key == "quick"
    found.close()
    assert all(gone(int(path.read_text())) for path in tmp_path.iterdir())


SCRIPT = """
import sys
from mnp_core.cli.entrypoint import run_command
import click
from mnp_core.cli.fleet.asking import Limits, ask

@click.command()
def command():
    folder = sys.argv[1]
    commands = {str(n): ["/bin/sh", "-c", f"sleep 60 & echo $! > {folder}/{n}; wait"] for n in range(5)}
    for _ in ask(commands, Limits(seconds=60)):
        pass

sys.exit(run_command(lambda: command, []))
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.full) for each in (signal.SIGTERM, signal.SIGHUP))]
)
def test_signals_end_everything(tmp_path, number):
    """Grandchildren included; the exit status is that of the signal."""
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 20
    while sum(1 for path in tmp_path.iterdir() if path.read_text().strip()) < 5 and time.monotonic() < end:
        time.sleep(0.01)
    program.send_signal(number)
    _, err = program.communicate(timeout=10)
    assert program.returncode == 128 + number
    assert "Traceback" not in err
    assert all(gone(int(path.read_text())) for path in tmp_path.iterdir())


def test_an_interruption_right_after_the_start_of_a_program_ends_it(tmp_path, monkeypatch):
    """The program is there, and not noted yet."""

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
                time.sleep(0.01)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        answers({"a": sh(f"echo $$ > {tmp_path}/pid; exec sleep 60")})
    assert gone(int((tmp_path / "pid").read_text()))
