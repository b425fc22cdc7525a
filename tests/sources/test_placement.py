"""Objects are put into a namespace as kubectl does it."""

import pytest

from mnp_core.errors import InputError
from mnp_core.sources.manifests import Document
from mnp_core.sources.placement import place


def document(kind="Pod", *, version="v1", **metadata):
    return Document(where="f.yaml, document 1", raw={"apiVersion": version, "kind": kind, "metadata": metadata})


@pytest.mark.parametrize("metadata", [{}, {"namespace": None}, {"namespace": ""}, {"namespace": "demo"}])
def test_an_object_without_a_namespace_is_put_there(metadata):
    (placed,) = place([document(name="a", **metadata)], "demo")
    assert placed.raw["metadata"] == {"name": "a", "namespace": "demo"}


def test_an_object_of_another_namespace_is_an_error_that_names_it():
    with pytest.raises(InputError, match="Pod 'a' is in namespace 'other', not 'demo'") as caught:
        place([document(name="b"), document(name="a", namespace="other")], "demo")
    assert (caught.value.where, caught.value.field) == ("f.yaml, document 1", "metadata.namespace")


def test_cluster_scoped_objects_stay_so():
    given = [document("Namespace", name="other"), document("Expectations", version="mnp.lab/v1", namespace="other")]
    assert place(given, "demo") == tuple(given)


@pytest.mark.parametrize("metadata", [None, [], "a"])
def test_metadata_that_cannot_be_read_is_left_to_the_decoder(metadata):
    odd = Document(where="f.yaml", raw={"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
    assert place([odd], "demo") == (odd,)


def test_without_a_namespace_nothing_changes():
    given = (document(name="a"), document(name="b", namespace="other"))
    assert place(given, None) == given
