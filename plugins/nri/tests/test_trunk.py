"""Frames and messages: in pieces of any size, with arbitrary bytes."""

import socket
import struct
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_nri.trunk import PLUGIN, REQUEST, RUNTIME, Message, ProtocolError, Trunk

MESSAGES = st.lists(
    st.builds(Message, st.sampled_from([PLUGIN, RUNTIME]), st.integers(0, 2**32 - 1), st.just(REQUEST), st.binary()),
    max_size=8,
)


@pytest.fixture(scope="module")
def pair():
    def make(stack):
        ends = [stack.enter_context(end) for end in socket.socketpair()]
        return Trunk(ends[0]), ends[1]

    return make


def received(trunk):
    """All messages until the end."""
    found = []
    while (messages := trunk.receive(5)) is not None:
        found += messages
    return found


@given(MESSAGES, st.integers(1, 40), st.integers(1, 40))
def test_messages_arrive_whole_however_frames_and_reads_cut_them(pair, messages, piece, read):
    data = b""
    for message in messages:
        text = struct.pack(">IIBB", len(message.payload), message.stream, message.kind, 0) + message.payload
        for start in range(0, len(text), piece):
            part = text[start : start + piece]
            data += struct.pack(">II", message.connection, len(part)) + part
    data += struct.pack(">II", 7, 3) + b"xyz"  # of a service that is unknown
    with ExitStack() as stack:
        trunk, other = pair(stack)
        found = []
        for start in range(0, len(data), read):
            other.sendall(data[start : start + read])
            found += trunk.receive(5) or ()
        other.shutdown(socket.SHUT_WR)
        assert found + received(trunk) == messages


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_messages_or_a_protocol_error(pair, data):
    with ExitStack() as stack:
        trunk, other = pair(stack)
        other.sendall(data)
        other.shutdown(socket.SHUT_WR)
        try:
            assert sum(len(message.payload) for message in received(trunk)) <= len(data)
        except ProtocolError as error:
            assert "a length of" in str(error)  # noqa: PT017 # nothing is wrong without one


def test_frames_that_are_sent_fit_the_buffer_of_gos_reader(pair):
    """It refuses a frame that is longer than the 4096 bytes of its reader."""
    with ExitStack() as stack:
        trunk, other = pair(stack)
        trunk.send(Message(PLUGIN, 1, REQUEST, b"x" * 10_000))
        data = other.recv(100_000)
        lengths = []
        while data:
            _, length = struct.unpack(">II", data[:8])
            lengths.append(length)
            data = data[8 + length :]
        assert max(lengths) <= 4096
        assert sum(lengths) == 10_010


def test_a_reader_that_is_shut_is_at_its_end(pair):
    with ExitStack() as stack:
        trunk, _ = pair(stack)
        assert trunk.receive(0) == ()
        trunk.shut()
        assert trunk.receive(5) is None
        trunk.shut()
