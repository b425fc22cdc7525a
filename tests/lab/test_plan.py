"""From manifests to a plan: what the API server, the meta-plugin and IPAM would have done."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.errors import InputError
from mnp_core.lab.admission import NAME_LABEL
from mnp_core.lab.definition import LinkKind
from mnp_core.lab.plan import plan_lab
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.model.parsing import parse_pod
from tests.lab.manifests import NETWORKS, STATUS, deny_ingress, manifest, nad, pod, subnet, written

A, B, C = (ObjectName("default", name) for name in "abc")


def links(plan, name=A):
    return {link.interface: [str(address) for address in link.addresses] for link in plan.pods[name].links}


# --- attachments ------------------------------------------------------------------------------------------------


def test_interfaces_are_called_by_position_unless_they_are_named():
    networks = "net, other/net ,net@data"
    plan = plan_lab([subnet("10.0.0.0/24"), subnet("10.1.0.0/24", namespace="other"), pod("a", networks)])
    assert [(link.interface, str(link.network)) for link in plan.pods[A].links] == [
        ("net1", "default/net"),
        ("net2", "other/net"),
        ("data", "default/net"),
    ]


def test_json_form_carries_namespace_interface_addresses_and_mac():
    wish = {"name": "net", "namespace": "other", "interface": "eth7", "ips": ["10.1.0.9"], "mac": "02:00:00:00:00:AA"}
    plan = plan_lab([subnet("10.1.0.0/22", namespace="other"), pod("a", [wish])])
    (link,) = plan.pods[A].links
    assert (link.interface, str(link.network), link.mac) == ("eth7", "other/net", "02:00:00:00:00:aa")
    assert [str(address) for address in link.addresses] == ["10.1.0.9/22"]


def test_network_status_of_the_manifest_counts_and_stays_as_it_is():
    """S3: what the meta-plugin really did."""
    status = [
        {"name": "cluster", "interface": "eth0", "ips": ["10.244.0.7"], "default": True},
        {"name": "default/net", "interface": "net9", "ips": ["10.0.0.77", "fd00::77"], "mac": "02:00:00:00:00:77"},
    ]
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", "net@ignored", status=status)])
    assert links(plan) == {"net9": ["10.0.0.77/24", "fd00::77/64"]}
    shown = plan.objects[ObjectRef("Pod", A)].raw
    assert json.loads(shown["metadata"]["annotations"][STATUS]) == status


def test_status_tells_the_core_what_was_wired():
    """S3: the core reads it exactly as it would in a cluster."""
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a")])
    parsed, reports = parse_pod(plan.objects[ObjectRef("Pod", A)].raw)
    (claim,), (link,) = parsed.statuses, plan.pods[A].links
    assert (claim.network, claim.interface, claim.mac) == (link.network, link.interface, link.mac)
    assert [str(address) for address in claim.addresses] == ["10.0.0.2"]
    assert (parsed.phase, reports) == ("Running", ())


def test_pods_without_a_namespace_of_their_own_are_not_wired():
    """S5"""
    finished = pod("b", phase="Succeeded")
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", spec={"hostNetwork": True}), finished, pod("c", phase="Pending")])
    assert set(plan.pods) == {C}
    assert ObjectRef("Pod", B) in plan.objects


def test_deployments_are_not_pods():
    plan = plan_lab([manifest("Deployment", "a", api="apps/v1", spec={"template": {}})])
    assert not plan.pods


def test_unused_networks_are_not_even_looked_at():
    """S6"""
    plan = plan_lab([subnet("10.0.0.0/24"), nad("broken", "{"), pod("a")])
    assert set(plan.switches) == {ObjectName("default", "net")}


# --- what makes the interface -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"type": "macvlan"}, LinkKind.MACVLAN),
        ({"type": "ipvlan"}, LinkKind.IPVLAN),
        ({"type": "bridge"}, LinkKind.VETH),
        ({"type": "sriov"}, LinkKind.VETH),
        ({"plugins": [{"type": "tuning"}, {"type": "macvlan"}, {"type": "sbr"}]}, LinkKind.MACVLAN),
    ],
)
def test_link_kind_follows_the_plugin_that_makes_the_interface(config, kind):
    """S4: a tuning in front hides nothing."""
    plan = plan_lab([nad("net", config), pod("a")])
    assert plan.pods[A].links[0].kind is kind


@pytest.mark.parametrize(
    ("config", "notices"),
    [({"type": "macvlan", "mode": "vepa"}, "vepa"), ({"type": "sriov"}, "sriov"), ("", "no configuration")],
)
def test_what_the_lab_does_otherwise_is_said(config, notices):
    annotations = manifest(
        "NetworkAttachmentDefinition", "net", spec={"config": config if config == "" else json.dumps(config)}
    )
    (notice,) = plan_lab([annotations, pod("a")]).notices
    assert "default/net" in notice
    assert notices in notice


# --- addresses --------------------------------------------------------------------------------------------------


def test_host_local_gives_the_lowest_address_that_is_neither_gateway_nor_taken():
    documents = [subnet("10.0.0.0/29"), pod("b"), pod("a"), pod("c", [{"name": "net", "ips": ["10.0.0.3"]}])]
    plan = plan_lab(documents)
    assert [links(plan, name)["net1"] for name in (A, B, C)] == [["10.0.0.2/29"], ["10.0.0.4/29"], ["10.0.0.3/29"]]


def test_order_of_documents_does_not_matter():
    documents = [subnet("10.0.0.0/24"), *(pod(name) for name in "abc")]
    assert plan_lab(documents).pods == plan_lab(reversed(documents)).pods


def test_every_set_of_ranges_gives_an_address():
    ranges = [[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.50"}], [{"subnet": "fd00::/64"}]]
    plan = plan_lab([nad("net", type="host-local", ranges=ranges), pod("a")])
    assert links(plan) == {"net1": ["10.0.0.50/24", "fd00::2/64"]}


def test_ranges_of_one_set_are_tried_in_turn():
    ranges = [[{"subnet": "10.0.0.0/30"}, {"subnet": "10.9.0.0/24"}]]
    plan = plan_lab([nad("net", type="host-local", ranges=ranges), pod("a"), pod("b")])
    assert [links(plan, name)["net1"] for name in (A, B)] == [["10.0.0.2/30"], ["10.9.0.2/24"]]


def test_whereabouts_excludes_blocks_and_takes_spans():
    documents = [
        nad("net", type="whereabouts", range="10.0.0.0/24", exclude=["10.0.0.0/30"]),
        nad("span", type="whereabouts", range="10.1.0.20-10.1.0.30/24"),
        pod("a", "net,span"),
    ]
    assert links(plan_lab(documents)) == {"net1": ["10.0.0.4/24"], "net2": ["10.1.0.20/24"]}


def test_static_addresses_and_routes():
    addresses = [{"address": "10.0.0.5/24"}, {"address": "fd00::5/64"}]
    routes = [{"dst": "10.9.0.0/16", "gw": "10.0.0.1"}, {"dst": "fd09::/16", "gw": "fd00::1"}]
    plan = plan_lab([nad("net", type="static", addresses=addresses, routes=routes), pod("a")])
    assert links(plan) == {"net1": ["10.0.0.5/24", "fd00::5/64"]}
    assert [(str(r.destination), str(r.gateway)) for r in plan.pods[A].links[0].routes] == [
        ("10.9.0.0/16", "10.0.0.1"),
        ("fd09::/16", "fd00::1"),
    ]


def test_without_ipam_there_are_no_addresses():
    assert links(plan_lab([nad("net", {"type": "macvlan"}), pod("a")])) == {"net1": []}


def test_addresses_stay_when_other_pods_come_and_go():
    network, before = subnet("10.0.0.0/24"), plan_lab([subnet("10.0.0.0/24"), pod("b"), pod("c")])
    after = plan_lab([network, pod("a"), pod("c")], leases=before.leases)
    assert links(after, C) == links(before, C)
    assert links(after, A) == {"net1": ["10.0.0.2/24"]}  # that of b, who has gone


def test_a_lease_that_does_not_fit_any_more_is_replaced():
    before = plan_lab([subnet("10.0.0.0/24"), pod("a")])
    after = plan_lab([subnet("10.7.0.0/24"), pod("a")], leases=before.leases)
    assert links(after) == {"net1": ["10.7.0.2/24"]}


# --- the API server ---------------------------------------------------------------------------------------------


def test_namespaces_carry_their_name_and_exist_if_they_are_used():
    documents = [manifest("Namespace", "x", "", metadata={"labels": {"team": "a"}}), pod("a", "", namespace="y")]
    objects = plan_lab(documents).objects
    labels = {
        name: objects[ObjectRef("Namespace", ObjectName("", name))].raw["metadata"]["labels"] for name in ("x", "y")
    }
    assert labels == {"x": {"team": "a", NAME_LABEL: "x"}, "y": {NAME_LABEL: "y"}}


def test_objects_without_a_namespace_are_in_default():
    assert set(plan_lab([pod("a", "", namespace="")]).pods) == {A}


def test_manifests_themselves_are_left_alone():
    document = pod("a")
    before = json.dumps(document.raw)
    plan_lab([subnet("10.0.0.0/24"), document])
    assert json.dumps(document.raw) == before


NINE = [{"name": "net", "ips": ["10.0.0.9"]}]

# --- what does not fit together ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([pod("a", "nowhere")], ["a.yaml, document 1", NETWORKS, "default/nowhere", "add its manifest"]),
        ([pod("a", "a/b/c")], [NETWORKS, "'a/b' is not a name"]),
        ([pod("a", "net@" + "x" * 16)], [NETWORKS, "not an interface name"]),
        ([pod("a", "net@lo")], ["'lo' is not an interface name"]),
        ([pod("a", "net@../x")], ["not an interface name"]),
        ([pod("a", "net@x,net@x"), subnet("10.0.0.0/24")], ["two attachments are called x"]),
        ([pod("a", "[{")], [NETWORKS, "is not JSON"]),
        ([pod("a", [{"name": "net", "ips": "10.0.0.1"}])], [NETWORKS, "[0].ips", "must be a list"]),
        ([pod("a", [{"name": "net", "ips": ["10.0.0.300"]}])], ["[0].ips[0]", "'10.0.0.300' is not an IP address"]),
        ([pod("a", [{"name": "net", "mac": "1"}])], ["[0].mac", "not a MAC address"]),
        ([pod("a"), nad("net", "{")], ["net.yaml, document 1", "spec.config", "is not JSON"]),
        ([pod("a"), nad("net", {"plugins": []})], ["spec.config.plugins", "is empty"]),
        ([pod("a"), nad("net", type="dhcp")], ["spec.config.ipam", "'dhcp'", "use host-local"]),
        ([pod("a"), subnet("10.0.0.0")], ["spec.config.ipam.subnet", "not a subnet"]),
        ([pod("a"), subnet("10.0.0.0/24", rangeStart="10.9.0.1")], ["not a part of the subnet 10.0.0.0/24"]),
        ([pod("a"), pod("b"), subnet("10.0.0.0/30")], ["no address is left in 10.0.0.1-10.0.0.2", "widen"]),
        ([pod("a"), subnet("10.0.0.0/24", routes=[{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}])], ["needs a gateway"]),
        ([pod("a", NINE), pod("b", NINE), subnet("10.0.0.0/24")], ["belongs to net1 of pod default/a"]),
        ([pod("a", ""), pod("a", "")], ["Pod default/a is declared by a.yaml, document 1 too"]),
        ([pod("../x", "")], ["metadata.name", "is not a name"]),
        ([written({"kind": "Pod", "metadata": []})], ["metadata: must be a mapping"]),
        ([written({"metadata": {"name": "a"}})], ["kind: is missing"]),
        ([pod("a", "", status={"name": "net"})], [STATUS, "must be a list"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_said_with_its_place(documents, words):
    with pytest.raises(InputError) as caught:
        plan_lab(documents)
    assert all(word in str(caught.value) for word in words), str(caught.value)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["net", "10.0.0.1", "fd00::/64"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "namespace",
                    "interface",
                    "ips",
                    "mac",
                    "default",
                    "type",
                    "ipam",
                    "plugins",
                    "ranges",
                    "subnet",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(networks=JSON, status=JSON, config=JSON)
def test_whatever_is_written_there_is_nothing_but_an_input_error(networks, status, config):
    pods = [
        manifest("Pod", "a", metadata={"annotations": {NETWORKS: networks}}),
        manifest("Pod", "b", metadata={"annotations": {NETWORKS: json.dumps(networks)}}),
        manifest("Pod", "c", metadata={"annotations": {STATUS: json.dumps(status)}}),
        manifest("Pod", "d", metadata=networks if isinstance(networks, dict) else {}),
        manifest("Pod", "e", status=status),
    ]
    for document in pods:
        for definition in (nad("net", json.dumps(config)), manifest("NetworkAttachmentDefinition", "net", spec=config)):
            with suppress(InputError):  # anything else fails the test
                plan_lab([document, definition, deny_ingress()])
