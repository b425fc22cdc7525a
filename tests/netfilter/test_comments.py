"""Rule comments: any text, in the alphabet and length that a rule takes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mnp_core.netfilter.comments import decode, encode

LIMIT = 40


@given(st.text(max_size=12))
def test_a_comment_that_fits_comes_back(text):
    encoded = encode(text, 128)
    assert decode(encoded) == text or "\ud800" <= max(text) <= "\udfff"


@given(st.text())
def test_a_comment_cannot_leave_its_quotes_or_its_length(text):
    encoded = encode(text, LIMIT)
    assert len(encoded) <= LIMIT
    assert encoded.isascii()
    assert encoded.isprintable() or not encoded
    assert not {*'"\\*\n'} & {*encoded}


def test_long_texts_that_begin_alike_stay_different():
    assert encode("a" * 100 + "b", LIMIT) != encode("a" * 100 + "c", LIMIT)


def test_a_cut_leaves_no_half_code():
    cut = [encode("a" * count + "é" * 30, LIMIT) for count in range(6)]
    assert all(re.fullmatch(r"a*(%[0-9A-F]{2})*~[0-9a-f]{16}", each) for each in cut)
