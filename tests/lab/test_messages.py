"""Packets that are made by hand are as the standards want them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.sandbox.icmp import checksum, echo_request
from mnp_lab.transport.ports import PortSequence
from mnp_lab.transport.sctp import Chunk, Message, crc32c

PORTS, TAGS = st.integers(0, 65535), st.integers(1, 0xFFFFFFFF)


def test_crc32c_of_the_check_string():
    """The check value of CRC-32C in every catalogue of CRCs; RFC 3720, B.4: 32 bytes of zeros, and of ones."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


@given(PORTS, PORTS, TAGS, TAGS, st.sampled_from(Chunk))
def test_sctp_survives_the_wire_and_damage_is_noticed(source, destination, tag, initiate, chunk):
    initiate = 0 if chunk is Chunk.ABORT else initiate
    message = Message(source=source, destination=destination, tag=tag, chunk=chunk, initiate=initiate)
    packet = message.pack()
    assert Message.unpack(packet) == message
    assert len(packet) % 4 == 0
    for position in range(len(packet)):
        damaged = packet[:position] + bytes([packet[position] ^ 1]) + packet[position + 1 :]
        assert Message.unpack(damaged) is None


@given(st.binary(max_size=60))
def test_foreign_bytes_are_no_message(packet):
    assert Message.unpack(packet) is None


def test_init_as_rfc_9260_draws_it():
    packet = Message(source=1, destination=99, tag=0, chunk=Chunk.INIT, initiate=7).pack()
    assert packet[:8] == struct.pack("!HHI", 1, 99, 0)
    assert packet[12:] == struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 7)


def test_init_ack_carries_a_cookie():
    packet = Message(source=99, destination=1, tag=7, chunk=Chunk.INIT_ACK, initiate=8).pack()
    chunk = packet[12:]
    assert (chunk[0], struct.unpack("!H", chunk[2:4])[0]) == (2, len(chunk))
    assert struct.unpack("!H", chunk[20:22])[0] == 7


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
def test_an_icmp_packet_sums_up_to_nothing(payload):
    """RFC 1071: the checksum over a packet that includes it is zero."""
    assert checksum(echo_request(4, 0x1234, payload)) == 0


def test_ports_are_not_used_again_soon():
    ports = PortSequence()
    taken = [ports.take() for _ in range(45536)]
    assert len(set(taken)) == len(taken)
    assert min(taken) > 1023
    assert ports.take() == taken[0]
