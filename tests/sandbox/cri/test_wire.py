"""Messages of CRI beside the library protobuf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.sandbox.cri.wire import list_request, read_info, read_list, status_request
from tests.sandbox.cri.runtime import MESSAGES

TEXTS = st.dictionaries(st.text(max_size=300), st.text(max_size=300), max_size=5)


@given(TEXTS)
def test_requests_are_those_of_protobuf(labels):
    assert MESSAGES["ListPodSandboxRequest"].FromString(list_request(labels)).filter.label_selector == labels


def test_the_status_is_asked_for_with_all_details():
    request = MESSAGES["PodSandboxStatusRequest"].FromString(status_request("ä" * 100))
    assert (request.pod_sandbox_id, request.verbose) == ("ä" * 100, True)


@given(TEXTS, st.integers(-(2**63), 2**63 - 1))
def test_information_of_a_status_is_read(info, timestamp):
    status = {"id": "x", "created_at": timestamp}
    response = MESSAGES["PodSandboxStatusResponse"](status=status, info=info, timestamp=timestamp)
    assert read_info(response.SerializeToString()) == info


@given(st.lists(st.tuples(st.text(), st.text(), st.text(), st.integers(0, 1), st.integers(0, 2**63 - 1)), max_size=5))
def test_a_list_of_sandboxes_is_read(sandboxes):
    items = [
        {
            "id": f"sandbox-{name}",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "attempt": 3},
            "state": state,
            "created_at": created,
            "labels": {"app": name},
        }
        for name, namespace, uid, state, created in sandboxes
    ]
    found = read_list(MESSAGES["ListPodSandboxResponse"](items=items).SerializeToString())
    assert [(each.name, each.namespace, each.uid, int(not each.ready), each.created) for each in found] == sandboxes
    assert [each.id for each in found] == [item["id"] for item in items]


@pytest.mark.parametrize(
    "answer", ["0a", "0a05", "0aff", "0f", "08ffffffffffffffffffffff01", "0a020aff", "0a020a05", "0a030a01ff"]
)
def test_a_damaged_answer_is_an_error(answer):
    with pytest.raises(ValueError, match="ListPodSandboxResponse"):
        read_list(bytes.fromhex(answer))
