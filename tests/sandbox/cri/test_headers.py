"""Header blocks as other implementations write them: examples of RFC 7541, appendix C."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.sandbox.cri.headers import decode_headers, encode_headers

TEXT = st.binary(min_size=1, max_size=126)


@given(st.dictionaries(TEXT, TEXT, max_size=8))
def test_what_is_written_is_read(headers):
    assert decode_headers(encode_headers(headers.items())) == headers


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", {b"custom-key": b"custom-header"}),  # C.2.1
        ("82", {}),  # C.2.4: an indexed field that is none of ours
        ("8882", {b":status": b"200"}),
        ("4803333032", {b":status": b"302"}),  # C.5.1, its first field
        ("48826402", {b":status": b"302"}),  # C.6.1, likewise: Huffman code
        ("408825a849e95ba97d7f8925a849e95bb8e8b4bf", {b"custom-key": b"custom-value"}),  # C.4.3, its last field
        ("20" + "88", {b":status": b"200"}),  # the size of the table comes first, as it was asked for
        ("", {}),
    ],
)
def test_blocks_of_other_implementations_are_read(block, headers):
    assert decode_headers(bytes.fromhex(block)) == headers


@pytest.mark.parametrize(
    "block", ["be", "80", "40", "400a63", "4088", "ffffffffffffff", "3f", "4882640a", "00ffffffff"]
)
def test_a_damaged_block_is_an_error(block):
    """Also one that refers to the table of size 0."""
    with pytest.raises(ValueError, match=r"header|text"):
        decode_headers(bytes.fromhex(block))


@given(st.binary(max_size=60))
def test_a_block_of_any_bytes_is_read_or_an_error(block):
    with suppress(ValueError):
        assert all(name for name in decode_headers(block))
