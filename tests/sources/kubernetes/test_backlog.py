"""News of a watch are decoded in turns (S61): a namespace that writes much delays itself."""

import threading

import msgspec
import pytest

from mnp_core.model import ObjectName
from mnp_core.sources.kubernetes import backlog as backlog_module
from mnp_core.sources.kubernetes.backlog import Backlog
from mnp_core.sources.kubernetes.codec import Event

SOON = 10


def news(text, size=0):
    return Event(type="MODIFIED", object=msgspec.Raw(f'"{text}{"x" * size}"'.encode()))


class Decoder:
    """Takes news in as soon as it is let to."""

    def __init__(self):
        self.taken, self.received_at = [], []
        self.free, self.began, self.given_up = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, event, received_at):
        self.began.set()
        assert self.free.wait(SOON)
        self.taken.append(bytes(event.object).decode().strip('"'))
        self.received_at.append(received_at)


@pytest.fixture
def decoder():
    return Decoder()


def backlog_of(decoder):
    return Backlog("decode", decoder, decoder.given_up.set)


def test_a_namespace_with_much_news_delays_itself(decoder):
    with backlog_of(decoder) as backlog:
        for number in range(100):
            backlog.add(ObjectName("loud", str(number)), news(f"loud-{number}"), 1.0)
            assert decoder.began.wait(SOON)
        backlog.add(ObjectName("quiet", "one"), news("quiet"), 2.0)
        decoder.free.set()
    assert decoder.taken.index("quiet") <= 2
    assert [text for text in decoder.taken if text != "quiet"] == [f"loud-{n}" for n in range(100)]


def test_of_the_states_of_an_object_the_last_is_decoded_and_counts_from_the_first(decoder):
    with backlog_of(decoder) as backlog:
        backlog.add(ObjectName("a", "other"), news("other"), 1.0)
        assert decoder.began.wait(SOON)
        for number in range(50):
            backlog.add(ObjectName("a", "one"), news(f"state-{number}"), 2.0 + number)
        decoder.free.set()
    assert decoder.taken == ["other", "state-49"]
    assert decoder.received_at == [1.0, 2.0]


def test_large_objects_come_out_as_they_went_in(decoder):
    decoder.free.set()
    with backlog_of(decoder) as backlog:
        for size in (0, 2000, 2100, 300_000):
            backlog.add(ObjectName("a", str(size)), news("state-", size), 1.0)
    assert sorted(map(len, decoder.taken)) == [6, 2006, 2106, 300_006]


def test_a_failure_reaches_the_thread_that_reads(decoder):
    def read():
        with Backlog("decode", lambda _, received_at: 1 / (received_at - received_at), decoder.given_up.set) as backlog:
            backlog.add(ObjectName("a", "one"), news("one"), 1.0)
            assert decoder.given_up.wait(SOON)

    with pytest.raises(RuntimeError, match="taken in") as caught:
        read()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_backlog_has_a_bound(decoder, monkeypatch):
    monkeypatch.setattr(backlog_module, "MAX_ANSWER_BYTES", 1000)
    added = []

    def read(backlog):
        for number in range(10):
            backlog.add(ObjectName("a", str(number)), news(number, 400), 1.0)
            added.append(number)

    with backlog_of(decoder) as backlog:
        reader = threading.Thread(target=read, args=(backlog,))
        reader.start()
        reader.join(0.5)
        assert len(added) <= 4, "one is being decoded, three wait"
        decoder.free.set()
        reader.join(SOON)
    assert len(decoder.taken) == 10
