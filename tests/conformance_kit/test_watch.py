"""The watch of the atomicity suite knows what it has seen: a long round may hide something unless the writer slept."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from mnp_core.testing.suites.atomicity import write_log
from mnp_core.testing.suites.atomicity.rounds import Rounds
from mnp_core.testing.suites.atomicity.traffic import Traffic
from mnp_core.testing.suites.atomicity.watch import is_watched
from mnp_core.testing.suites.atomicity.write_log import Kind, Record, WriteLog
from mnp_core.testing.suites.atomicity.writer import Writer, unknown

CONTEXT = multiprocessing.get_context("forkserver")
LONG = 0.005  # seconds of a round
SLEEPS = "import time; time.sleep(60)"
RUNS = "while True: pass"
MS = 1_000_000


@pytest.fixture
def become():
    """Makes a writer of a process with this program."""
    with ExitStack() as cleanup:

        def start(program):
            process = cleanup.enter_context(subprocess.Popen([sys.executable, "-c", program]))
            cleanup.callback(process.kill)
            writer = Writer(CONTEXT)
            writer.becomes(process.pid)
            return writer

        yield start


def asleep(worked):
    """Wait until the writer has begun to sleep."""
    before = worked()
    while time.sleep(0.2) or (now := worked()) != before:
        before = now


def at_work(worked):
    """Wait until the writer has had some processor time."""
    before = worked()
    while worked() == before:
        time.sleep(LONG)


def end_long_round(rounds):
    time.sleep(LONG)
    rounds.end()


# --- rounds -----------------------------------------------------------------------------------------------------------


def test_a_long_round_beside_a_sleeping_writer_hides_nothing(become):
    worked = become(SLEEPS).clock()
    asleep(worked)
    rounds = Rounds(worked)
    end_long_round(rounds)
    assert rounds.gaps == [(rounds.started, rounds.last)]
    assert rounds.blind == []


def test_a_long_round_beside_a_running_writer_may_hide_something(become):
    worked = become(RUNS).clock()
    rounds = Rounds(worked)
    at_work(worked)
    end_long_round(rounds)
    assert rounds.blind == rounds.gaps == [(rounds.started, rounds.last)]


def test_what_the_writer_does_between_the_end_of_a_round_and_the_next_reading_belongs_to_the_long_round():
    """The kernel may take the processor away between two lines of the sender, too."""
    times = iter([1, 1, 2])
    rounds = Rounds(lambda: next(times))
    end_long_round(rounds)
    assert rounds.blind == rounds.gaps != []


def test_a_long_round_past_the_end_of_the_writer_may_hide_something():
    """Nobody knows what it did."""
    ended, writer = subprocess.Popen([sys.executable, "-c", ""]), Writer(CONTEXT)
    ended.wait()
    writer.becomes(ended.pid)
    rounds = Rounds(writer.clock())
    end_long_round(rounds)
    assert rounds.blind == rounds.gaps != []


def test_without_a_writer_each_long_round_may_hide_something():
    for worked in unknown, Writer(CONTEXT).clock():
        rounds = Rounds(worked)
        end_long_round(rounds)
        assert rounds.blind == rounds.gaps != []


# --- writes -----------------------------------------------------------------------------------------------------------


def run(write, path):
    """In a process of its own: this one has children."""
    process = CONTEXT.Process(target=write, args=(path,))
    process.start()
    process.join()


def write_alone(path):
    with WriteLog(path).entry(Kind.RULES):
        pass


def write_with_a_program(path):
    with WriteLog(path).entry(Kind.RULES):
        subprocess.run([sys.executable, "-c", ""], check=True)


def write_with_a_program_that_stays(path):
    with WriteLog(path).entry(Kind.RULES):
        program = subprocess.Popen([sys.executable, "-c", SLEEPS])
    program.kill()
    program.wait()


@pytest.mark.parametrize(
    ("write", "alone"),
    [(write_alone, True), (write_with_a_program, False), (write_with_a_program_that_stays, False)],
)
def test_the_log_knows_whether_a_child_had_a_part_in_a_write(tmp_path, write, alone):
    run(write, tmp_path / "log")
    [record] = write_log.read(tmp_path / "log")
    assert record.kind is Kind.RULES
    assert record.start < record.end
    assert record.alone is alone


def write_and_be_killed(path):
    with WriteLog(path).entry(Kind.WHOLE):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_write_that_was_cut_short_has_no_end(tmp_path):
    for write in write_and_be_killed, write_alone:
        run(write, tmp_path / "log")
    cut, whole = write_log.read(tmp_path / "log")
    assert (cut.kind, cut.end, cut.alone) == (Kind.WHOLE, 0, False)
    assert whole.kind is Kind.RULES
    assert whole.start < whole.end


# --- both -------------------------------------------------------------------------------------------------------------

SLEPT, RAN = (20 * MS, 22 * MS), (40 * MS, 42 * MS)
SEEN = Traffic(1000, 0, 60 * MS, {}, gaps=[SLEPT, RAN], blind=[RAN], median=50)


@pytest.mark.parametrize(
    ("start", "end", "alone", "watched"),
    [
        (1, 19, True, True),
        (1, 19, False, True),
        (1, 30, True, True),  # the writer slept meanwhile
        (1, 30, False, False),  # but perhaps its child did not
        (21, 39, True, True),
        (1, 41, True, False),
        (39, 50, True, False),
        (41, 50, True, False),
        (43, 59, False, True),
        (43, 61, True, False),  # the traffic had ended
        (43, 0, False, False),  # the writer was killed
    ],
)
def test_a_change_is_watched_if_no_pause_within_it_may_have_hidden_a_part(start, end, alone, watched):
    assert is_watched(Record(Kind.RULES, start * MS, end * MS, alone), SEEN) is watched
