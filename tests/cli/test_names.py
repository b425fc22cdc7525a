import pytest

from mnp_core.cli.names import parse_object_name, parse_ref
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef


@pytest.mark.parametrize(("text", "name"), [("shop/web", ("shop", "web")), ("web", ("default", "web"))])
def test_names_with_and_without_a_namespace(text, name):
    assert parse_object_name(text) == ObjectName(*name)


@pytest.mark.parametrize("text", ["", "/", "a/", "/a", "a/b/c"])
def test_invalid_name_is_refused(text):
    with pytest.raises(InputError, match="write namespace/name"):
        parse_object_name(text)


@pytest.mark.parametrize("kind", ["mnp", "MultiNetworkPolicy", "multinetworkpolicy", "multinetworkpolicies"])
def test_kinds_are_taken_as_kubectl_takes_them(kind):
    assert parse_ref(f"{kind}/shop/deny") == ObjectRef("MultiNetworkPolicy", ObjectName("shop", "deny"))


def test_kinds_of_plugins_are_taken_as_they_are():
    assert parse_ref("MacvlanNetworkPolicy/shop/x").kind == "MacvlanNetworkPolicy"


def test_a_namespace_is_in_no_namespace():
    assert parse_ref("ns/shop") == ObjectRef("Namespace", ObjectName("", "shop"))


@pytest.mark.parametrize("text", ["pod", "/pod", "pod/", ""])
def test_non_object_is_refused(text):
    with pytest.raises(InputError):
        parse_ref(text)
