"""From manifests to a plan: the work of API server, meta-plugin and IPAM."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef
from mnp_core.model.parsing import parse_pod
from mnp_core.offline.admission import NAME_LABEL
from mnp_core.offline.definition import LinkKind
from mnp_lab.plan import plan_lab
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
    """S3: the report of the meta-plugin."""
    status = [
        {"name": "cluster", "interface": "eth0", "ips": ["10.244.0.7"], "default": True},
        {"name": "default/net", "interface": "net9", "ips": ["10.0.0.77", "fd00::77"], "mac": "02:00:00:00:00:77"},
    ]
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", "net@ignored", status=status)])
    assert links(plan) == {"net9": ["10.0.0.77/24", "fd00::77/64"]}
    shown = plan.objects[ObjectRef("Pod", A)].raw
    assert json.loads(shown["metadata"]["annotations"][STATUS]) == status


def test_status_lists_the_links():
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
    assert set(plan.switches) == {"macvlan on master eth0"}


# --- the interface's origin -------------------------------------------------------------------------------------


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
def test_differences_of_the_lab_are_reported(config, notices):
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

# --- contradictions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([pod("a", "nowhere")], ["a.yaml, document 1", NETWORKS, "default/nowhere", "add its manifest"]),
        ([pod("a", "a/b/c")], [NETWORKS, "'a/b/c' names no network"]),
        ([pod("a", "net@" + "x" * 16)], [NETWORKS, "not a name that the kernel takes"]),
        ([pod("a", "net@lo")], ["'lo' is not a name that the kernel takes"]),
        ([pod("a", "net@../x")], ["not a name that the kernel takes"]),
        ([pod("a", "net@x,net@x"), subnet("10.0.0.0/24")], ["two attachments are called x"]),
        ([pod("a", "[{")], [NETWORKS, "is not JSON"]),
        ([pod("a", [{"name": "net", "ips": "10.0.0.1"}])], [NETWORKS, "[0].ips", "is not a list of addresses"]),
        ([pod("a", [{"name": "net", "ips": ["10.0.0.300"]}])], ["[0].ips[0]", "'10.0.0.300' is not an IP address"]),
        ([pod("a", [{"name": "net", "mac": "1"}])], ["[0].mac", "not a MAC address"]),
        ([pod("a"), nad("net", "{")], ["net.yaml, document 1", "spec.config", "is not JSON"]),
        ([pod("a"), nad("net", {"plugins": []})], ["spec.config.plugins", "is empty"]),
        ([pod("a"), subnet("10.0.0.0")], ["spec.config.ipam.subnet", "not a subnet"]),
        ([pod("a"), subnet("10.0.0.0/24", rangeStart="10.9.0.1")], ["not a part of the subnet 10.0.0.0/24"]),
        ([pod("a"), pod("b"), subnet("10.0.0.0/30")], ["no address is left in 10.0.0.1-10.0.0.2", "widen"]),
        ([pod("a"), subnet("10.0.0.0/24", routes=[{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}])], ["needs a gateway"]),
        ([pod("a", NINE), pod("b", NINE), subnet("10.0.0.0/24")], ["belongs to net1 of pod default/a"]),
        ([pod("a", "", status={"name": "net"})], [STATUS, "must be a list"]),
        ([pod("a", "", status=[{"name": "none", "interface": "x"}])], [STATUS, "default/none", "add its manifest"]),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_fit_is_left_out_alone_and_its_place_is_said(documents, words):
    """S6: the pod beside it is built."""
    beside = [subnet("10.99.0.0/24", "beside"), pod("z", "beside")]
    plan = plan_lab([*documents, *beside])
    (left_out,) = plan.left_out
    assert left_out in {A, B}
    assert ObjectName("default", "z") in plan.pods
    assert left_out not in plan.pods
    assert all(word in str(plan.left_out[left_out]) for word in words), str(plan.left_out)
    assert f"pod {left_out} is left out: {plan.left_out[left_out]}" in plan.notices
    assert [(report.about, report.reason) for report in plan.reports] == [(ObjectRef("Pod", left_out), "Malformed")]


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([pod("a", ""), pod("a", "")], ["Pod default/a is declared by a.yaml, document 1 too"]),
        ([pod("../x", "")], ["metadata.name", "is not a name"]),
        ([written({"kind": "Pod", "metadata": []})], ["metadata: must be a mapping"]),
        ([written({"metadata": {"name": "a"}})], ["kind: is missing"]),
    ],
)
def test_non_object_is_refused_with_its_place(documents, words):
    with pytest.raises(InputError) as caught:
        plan_lab(documents)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_objects_of_other_kinds_may_have_any_name():
    """A dump of a whole cluster holds some."""
    role = manifest("ClusterRole", "system:node:x", "", "rbac.authorization.k8s.io/v1")
    plan = plan_lab(
        [role, manifest("NetworkPolicy", "a"), manifest("NetworkPolicy", "a", api="x.org/v1"), pod("a", "")]
    )
    assert set(plan.pods) == {A}


def test_two_pods_with_one_address_are_one_too_many():
    """S6: the previous owner keeps it."""
    documents = [subnet("10.0.0.0/24"), pod("b", NINE)]
    before = plan_lab(documents)
    after = plan_lab([*documents, pod("a", NINE), pod("c")], leases=before.leases)
    assert (set(after.left_out), set(after.pods)) == ({A}, {B, C})
    assert "belongs to net1 of pod default/b" in str(after.left_out[A])


def test_the_addresses_of_a_pod_that_is_left_out_are_free():
    tiny, other = subnet("10.0.0.0/30"), subnet("10.1.0.0/30", "other")
    plan = plan_lab([tiny, other, pod("a", "other"), pod("b", "net,other"), pod("c")])
    assert set(plan.left_out) == {B}
    assert links(plan, C) == {"net1": ["10.0.0.2/30"]}


def test_ipam_that_the_lab_cannot_ask_gives_no_addresses_and_that_is_said():
    plan = plan_lab([nad("net", type="dhcp"), pod("a"), pod("b", NINE)])
    assert (links(plan, A), links(plan, B)) == ({"net1": []}, {"net1": ["10.0.0.9/24"]})
    assert any("ipam type 'dhcp'" in notice for notice in plan.notices)


# --- network-status as the core reads it ------------------------------------------------------------------------


def test_primary_user_defined_networks_are_the_default_network():
    """S3: two entries of one name, one of them default."""
    status = [
        {"name": "ovn", "interface": "ovn-udn1", "ips": ["10.128.0.4"], "default": True},
        {"name": "default/net", "interface": "net1", "mac": "02:00:00:00:00:01"},
    ]
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", status=status)])
    assert links(plan) == {"net1": ["10.0.0.2/24"]}
    shown = json.loads(plan.objects[ObjectRef("Pod", A)].raw["metadata"]["annotations"][STATUS])
    assert [entry["interface"] for entry in shown] == ["ovn-udn1", "net1"]


MINE = {"name": "default/net", "interface": "net1"}


@pytest.mark.parametrize(
    "others",
    [
        [{"name": "ovn", "interface": "udn1", "default": True}, {"name": "ovn", "interface": "eth0"}],
        [{"name": "ovn", "interface": "eth0"}, {"name": "ovn", "interface": "udn1", "default": True}],
        [{"name": "x/ovn", "interface": "udn1", "default": True}, {"name": "x/ovn", "interface": "eth0"}],
        [{"name": "ovn", "interface": "udn1", "default": True}, {"name": "default/ovn", "interface": "eth0"}],
        [{"interface": "eth0"}, {"name": "ovn", "default": True}, {"name": "ovn", "interface": "eth1"}],
    ],
    ids=["default-first", "default-last", "of-a-namespace", "written-twice", "without-names"],
)  # fmt: skip
def test_default_network_is_not_wired(others):
    """S3"""
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", status=[*others, MINE])])
    assert links(plan) == {"net1": ["10.0.0.2/24"]}
    assert not plan.left_out


@pytest.mark.parametrize(
    "config",
    [
        {"type": "bridge", "ipam": {}},
        {"type": "bridge"},
        {"type": "macvlan", "ipam": {"type": "dhcp"}},
        {"plugins": [{"type": "macvlan", "ipam": {}}, {"type": "tuning"}]},
        {"type": "ovn-k8s-cni-overlay", "name": "x", "topology": "layer2"},
    ],
)
def test_pods_on_a_network_without_addresses_are_built_without(config):
    """And their status says so, as the meta-plugin's would."""
    plan = plan_lab([nad("net", config), pod("a"), pod("b", status=[MINE | {"mac": "02:00:00:00:00:02"}])])
    assert (links(plan, A), links(plan, B)) == ({"net1": []}, {"net1": []})
    parsed, reports = parse_pod(plan.objects[ObjectRef("Pod", B)].raw)
    assert ([status.addresses for status in parsed.statuses], reports) == ([()], ())


def test_an_infiniband_mac_is_no_reason_to_leave_a_pod_out():
    """One parser for core and lab, whose interfaces are Ethernet all the same."""
    mac = ":".join(f"{byte:02x}" for byte in range(20))
    status = [{"name": "default/net", "interface": "net1", "ips": ["10.0.0.5"], "mac": mac}]
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", status=status)])
    assert links(plan) == {"net1": ["10.0.0.5/24"]}
    assert len(plan.pods[A].links[0].mac) == 17


def test_an_attachment_without_an_interface_is_not_wired():
    """Userspace datapaths have none; the others of the pod are wired, and its status stays."""
    status = [
        {"name": "default/dpdk", "ips": ["10.0.7.7"], "device-info": {"type": "vhost-user"}},
        {"name": "default/net", "interface": "net1"},
    ]
    plan = plan_lab([subnet("10.0.0.0/24"), pod("a", status=status)])
    assert links(plan) == {"net1": ["10.0.0.2/24"]}
    shown = json.loads(plan.objects[ObjectRef("Pod", A)].raw["metadata"]["annotations"][STATUS])
    assert [entry["name"] for entry in shown] == ["default/dpdk", "default/net"]


# --- networks that are one wire ---------------------------------------------------------------------------------


def config(kind="macvlan", subnet="10.0.0.0/24", **more):
    return {"type": kind, "ipam": {"type": "host-local", "subnet": subnet}} | more


def wires(*definitions):
    """By network, its switch, with a pod on each."""
    networks = {f"n{number}": made for number, made in enumerate(definitions)}
    documents = [nad(name, made) for name, made in networks.items()] + [pod(f"p-{name}", name) for name in networks]
    plan = plan_lab(documents)
    assert not plan.left_out
    return {link.network.name: link.wire for found in plan.pods.values() for link in found.links}, plan


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (config(), config()),
        (config(master="eth1"), config(master="eth1", mode="bridge")),
        (config("ipvlan", master="eth1"), config("ipvlan", master="eth1")),
        (config("bridge"), config("bridge", bridge="cni0")),
        (config("bridge", vlan=7), {"plugins": [config("bridge", vlan=7), {"type": "sbr"}]}),
        (config("vlan", master="eth1", vlanId=7), config("vlan", master="eth1", vlanId=7)),
        (config("cnv-bridge", bridge="br1"), config("cnv-bridge", bridge="br1")),
        (config("ovn-k8s-cni-overlay", name="t"), config("ovn-k8s-cni-overlay", name="t")),
    ],
)  # fmt: skip
def test_networks_of_one_type_master_and_vlan_are_one_wire(one, other):
    """And have different addresses on it, and that is said."""
    found, plan = wires(one, other)
    assert found["n0"] == found["n1"]
    assert len({str(address) for made in plan.pods.values() for link in made.links for address in link.addresses}) == 2
    (notice,) = (notice for notice in plan.notices if "are one wire" in notice)
    assert "networks default/n0 and default/n1 are one wire" in notice
    assert "annotation mnp.lab/wire" in notice


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (config(master="eth1"), config(master="eth2")),
        (config(master="eth1"), config()),
        (config(master="eth1"), config("ipvlan", master="eth1")),
        (config("bridge", bridge="br1", vlan=7), config("bridge", bridge="br1", vlan=8)),
        (config("bridge", bridge="br1"), config("bridge")),
        (config("ptp"), config("ptp")),
        (config("host-device", device="eth1"), config("host-device", device="eth1")),
        (config("ovn-k8s-cni-overlay", name="t"), config("ovn-k8s-cni-overlay", name="u")),
        (config("sriov"), config("sriov")),
    ],
)
def test_other_networks_are_not(one, other):
    found, plan = wires(one, other)
    assert found["n0"] != found["n1"]
    assert not any("one wire" in notice for notice in plan.notices)


def test_sriov_networks_of_one_resource_are_one_wire():
    resource = {"annotations": {"k8s.v1.cni.cncf.io/resourceName": "intel.com/sriov"}}
    made = [nad(name, config("sriov", vlan=5)) for name in ("one", "two")]
    made = [written(each.raw | {"metadata": each.raw["metadata"] | resource}) for each in made]
    plan = plan_lab([*made, pod("a", "one"), pod("b", "two")])
    assert set(plan.switches) == {"sriov on resource intel.com/sriov, VLAN 5"}


@pytest.mark.parametrize("values", [("x", "x"), ("x", "y")])
def test_an_annotation_says_which_networks_are_one_wire(values):
    """With any configuration."""
    kinds = ("macvlan", "bridge") if values[0] == values[1] else ("macvlan", "macvlan")
    made = []
    for name, kind, value in zip(("one", "two"), kinds, values, strict=True):
        raw = nad(name, config(kind)).raw
        made.append(written(raw | {"metadata": raw["metadata"] | {"annotations": {"mnp.lab/wire": value}}}))
    plan = plan_lab([*made, pod("a", "one"), pod("b", "two")])
    assert set(plan.switches) == set(values)


def test_networks_on_which_pods_ask_for_the_same_address_are_kept_apart():
    """No wire could bear it; in the lab they were always separate."""
    ask = [[{"name": name, "ips": ["10.0.0.9"]}] for name in ("one", "two")]
    plan = plan_lab([nad("one", config()), nad("two", config()), pod("a", ask[0]), pod("b", ask[1])])
    assert set(plan.switches) == {"default/one", "default/two"}
    assert any("pods ask for 10.0.0.9 on several of them: kept apart" in notice for notice in plan.notices)


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
def test_any_text_there_is_an_input_error_at_worst(networks, status, config):
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
