"""A node's answers to probes."""

import threading
import time

import pytest

from mnp_core.lasting import LastingThread, log_dying_threads
from mnp_core.telemetry.health import Answer, Health, Unready


@pytest.fixture
def health(clock):
    return Health(longest_silence=30, clock=clock)


def test_a_loop_is_dead_after_a_long_silence_and_alive_again_with_the_next_sign(health, clock):
    clock.sleep(29)
    assert health.alive() == Answer(good=True, text="ok")
    clock.sleep(2)
    assert health.alive() == Answer(good=False, text="Hanging: the agent's loop gave no sign of life for 31 s")
    health.beat()
    assert health.alive().good


def test_a_node_that_starts_is_not_ready(health):
    assert not health.readiness().good
    assert health.readiness().text.startswith("Starting: ")


def test_readiness_has_a_reason_and_a_sentence(health):
    health.not_ready(Unready.WAITING_FOR_API_SERVER, "pods have not been listed yet")
    assert health.readiness() == Answer(good=False, text="WaitingForApiServer: pods have not been listed yet")
    health.ready()
    assert health.readiness() == Answer(good=True, text="ok")
    health.not_ready(Unready.STOPPING, "rules stay in force")
    assert not health.readiness().good


def test_a_reason_that_is_not_documented_cannot_be_given(health):
    with pytest.raises(ValueError, match="Sleepy"):
        health.not_ready("Sleepy", "it is late")


def test_not_being_ready_is_not_being_dead(health):
    health.not_ready(Unready.WAITING_FOR_API_SERVER, "it does not answer")
    assert health.alive().good


def test_a_node_is_dead_when_a_thread_that_it_needs_has_ended_unless_it_stops(health):
    thread = LastingThread("monitor", lambda: None)
    thread.start()
    thread.join(5)
    health.depends_on(thread)
    assert health.alive() == Answer(good=False, text="Dead: the thread monitor has ended")
    health.not_ready(Unready.STOPPING, "rules stay in force")
    assert health.alive().good


def test_a_thread_that_fails_says_so_and_begins_again(health, caplog):
    fails, done = iter([ValueError("odd"), None]), threading.Event()

    def work():
        if error := next(fails):
            raise error
        done.wait(5)

    thread = LastingThread("events", work)
    thread.start()
    health.depends_on(thread)
    end = time.monotonic() + 5
    while "the thread events has failed, it begins again" not in caplog.text and time.monotonic() < end:
        time.sleep(0.01)
    assert thread.failures == 1
    assert "the thread events has failed, it begins again" in caplog.text
    assert health.alive().good
    done.set()
    thread.join(5)
    assert not thread.alive


def test_a_thread_that_ends_by_an_error_is_in_the_log(caplog, monkeypatch):
    """Threads of pools, and those that libraries start, too."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log_dying_threads()

    def work():
        raise ValueError("odd")

    thread = threading.Thread(target=work, name="sandbox")
    thread.start()
    thread.join()
    assert "the thread sandbox has ended by an error" in caplog.text
    assert "ValueError: odd" in caplog.text
