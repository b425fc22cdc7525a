"""Netlink attributes and messages: no bytes raise an error, as a process in the pod may write any (S62)."""

from hypothesis import given
from hypothesis import strategies as st

from mnp_core.netfilter import nf_tables
from mnp_core.netfilter.attributes import attribute, attributes, located, nested, number, text, text_attribute
from mnp_core.netfilter.batch import Batch, BatchWriter, joined
from mnp_core.netfilter.messages import CREATE, DELETE_SET, NEW_CHAIN, NEW_RULE, NEW_SET
from mnp_core.netfilter.netlink import messages, packed

values = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=20)), max_size=6)


@given(values)
def test_encoded_attributes_are_decoded(found):
    assert list(attributes(b"".join(attribute(kind, value) for kind, value in found))) == found


@given(values)
def test_each_value_is_at_its_offset(found):
    data = b"".join(attribute(kind, value) for kind, value in found)
    assert all(data[start : start + len(value)] == value for _, start, value in located(data))


@given(st.binary(max_size=80))
def test_no_bytes_raise_an_error(data):
    """Walks end at the first malformed attribute, message, expression or comment, and never go back."""
    starts = [start for _, start, _ in located(data)]
    assert starts == sorted(set(starts))
    assert all(start <= len(data) for start in starts)
    assert sum(len(body) for *_, body in messages(data)) <= len(data)
    assert isinstance(nf_tables.comment_in(data), str)
    assert isinstance(nf_tables.counter_values(data), tuple)
    assert all(isinstance(name, str) for name, _, _ in nf_tables.expressions(data))
    assert isinstance(text(data), str)


def test_a_name_need_not_be_text():
    assert text(b"a\xff\0left over") == "a\\xff"


def test_flags_are_no_part_of_a_type():
    assert list(attributes(nested(4, number(2, 7)))) == [(4, number(2, 7))]


def test_a_message_that_claims_to_be_shorter_than_its_header_ends_the_walk():
    assert list(messages(packed(1, 0, b"abcd", 1) + bytes(32))) == [(1, 0, 1, b"abcd")]


def test_the_data_of_an_expression_are_at_their_offset():
    """The numbers of ipsets are written there."""
    rule = nested(1, text_attribute(1, "match") + nested(2, text_attribute(1, "set") + attribute(3, b"\1\2\3\4")))
    [(name, start, data)] = nf_tables.expressions(rule)
    assert (name, rule[start : start + len(data)]) == ("match", data)


@given(st.text(max_size=40).filter(lambda comment: "\0" not in comment))
def test_comments_come_back_from_user_data(comment):
    assert nf_tables.comment_in(nf_tables.userdata_of(comment)) == comment


def batch(*names, kind=NEW_CHAIN):
    writer = BatchWriter()
    for name in names:
        writer.add(kind, CREATE, text_attribute(1, "mnp"), text_attribute(3, name), family=10)
    return writer.batch()


def test_joined_batches_are_one_with_numbers_of_its_own():
    both = joined([batch("a", "b"), batch("c")])
    assert [number for _, _, number, _ in both.messages()] == [2, 3, 4]
    assert both == batch("a", "b", "c")


def test_a_batch_asks_for_the_answer_to_its_last_message():
    flags = [flags for _, flags, _, _ in Batch(bytes(batch("a", "b").acknowledged())).messages()]
    assert [bool(each & 4) for each in flags] == [False, True]


def test_a_batch_names_the_object_of_each_message():
    writer = BatchWriter(batch("c"))
    for kind, name in ((NEW_RULE, "r"), (NEW_SET, "s"), (DELETE_SET, "s")):
        writer.add(kind, 0, text_attribute(1, "mnp"), text_attribute(2, name))
    found = [writer.batch().about(sequence) for sequence in range(2, 7)]
    assert found == ["chain c", "rule in chain r", "set s", "removal of set s", "the transaction"]
