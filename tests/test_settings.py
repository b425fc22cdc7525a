from ipaddress import ip_network

import pytest

from mnp_core.errors import InputError
from mnp_core.model import CommonRules, CustomRules, DeniedLog, DenyAction, Direction, EstablishedFlows, ObjectName
from mnp_core.settings import Settings, parse_settings


def no_files(name):
    raise AssertionError(f"nothing should be read, but {name} is")


def parse(raw, read=no_files):
    return parse_settings(raw, where="settings.yaml", read=read)


@pytest.mark.parametrize("raw", [None, {}])
def test_nothing_said_means_the_defaults(raw):
    assert parse(raw) == Settings()
    assert Settings().common == CommonRules()


def test_every_setting_of_section_7_is_understood():
    settings = parse(
        {
            "accept-icmp": True,
            "accept-icmpv6": True,
            "accept-multicast-management": True,
            "allow-src-prefix": ["10.0.0.0/8", "fd00::/8"],
            "allow-dst-prefix": "10.0.0.0/8, fd00::/8",
            "deny-action": "reject",
            "established-flows": "recheck",
            "network-plugins": ["macvlan"],
            "backend": "nftables",
            "backend-by-kind": {"sriov": "iptables"},
            "backend-by-network": {"shop/data": "iptables"},
        }
    )
    prefixes = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.common == CommonRules(
        accept_icmp=True,
        accept_icmpv6=True,
        accept_multicast_management=True,
        allow_src_prefixes=prefixes,
        allow_dst_prefixes=prefixes,
        deny_action=DenyAction.REJECT,
        established_flows=EstablishedFlows.RECHECK,
    )
    assert settings.network_plugins == {"macvlan"}
    assert settings.backends.node == "nftables"
    assert settings.backends.kinds == {"sriov": "iptables"}
    assert settings.backends.networks == {ObjectName("shop", "data"): "iptables"}


@pytest.mark.parametrize("off", [None, False, "off"])
def test_a_log_of_denied_packets_is_off_unless_asked_for(off):
    """YAML reads an unquoted off as false."""
    assert parse({"log-denied": off, "denied-log-rate": 5}).common.denied_log is None


@pytest.mark.parametrize("number", [7, "7"])
def test_a_log_of_denied_packets_has_group_and_limits(number):
    settings = parse(
        {"log-denied": "annotated", "denied-log-group": number, "denied-log-rate": 5, "denied-log-burst": 9}
    )
    assert settings.common.denied_log == DeniedLog(group=7, rate=5, burst=9)
    assert settings.denied.only_annotated
    assert not parse({"log-denied": "all"}).denied.only_annotated


def test_custom_rules_are_read_line_by_line_and_know_where_they_stand():
    files = {"in4": "# comment\n\n tcp dport 22 accept \n", "out6": "udp dport 53 accept\ncounter\n"}
    raw = {"custom-v4-ingress-rule-file": "in4", "custom-v6-egress-rule-file": "out6"}
    assert parse(raw, files.__getitem__).common.custom == (
        CustomRules(
            direction=Direction.INGRESS,
            family=4,
            lines=("# comment", "", "tcp dport 22 accept"),
            source="custom-v4-ingress-rule-file: in4",
        ),
        CustomRules(
            direction=Direction.EGRESS,
            family=6,
            lines=("udp dport 53 accept", "counter"),
            source="custom-v6-egress-rule-file: out6",
        ),
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("accept-icmp", "must be a mapping"),
        ({"accept-icpm": True}, "settings.yaml: accept-icpm: there is no such setting: is 'accept-icmp' meant?"),
        ({"log-denied": True}, "log-denied: must be off or annotated or all, not True"),
        ({"log-denied": "yes"}, "log-denied: must be off or annotated or all, not 'yes'"),
        ({"denied-log-group": 0}, "denied-log-group: must be a whole number from 1 to 65535, not 0"),
        ({"denied-log-group": 65536}, "denied-log-group: must be a whole number from 1 to 65535, not 65536"),
        ({"denied-log-rate": "fast"}, "denied-log-rate: must be a whole number from 1 to 1000, not 'fast'"),
        ({"denied-log-burst": 1.5}, "denied-log-burst: must be a whole number from 1 to 1000, not 1.5"),
        ({"qqq": 1}, "there are: accept-icmp, "),
        ({7: 1}, "7: there is no such setting"),
        ({"accept-icmp": "yes please"}, "accept-icmp: must be true or false"),
        ({"deny-action": "explode"}, "deny-action: must be drop or reject"),
        ({"allow-src-prefix": ["10.0.0.1"]}, "allow-src-prefix: '10.0.0.1' is not a block"),
        ({"allow-src-prefix": [10]}, "must be a list of strings"),
        ({"backend": ["nftables"]}, "backend: must be a string"),
        ({"backend-by-network": {"data": "nftables"}}, "write namespace/name"),
        ({"budget-per-policy": {"rulez": 1}}, "rulez is no limit: there are rules, selectors"),
        ({"budget-per-pod": {"members": 1}}, "members is no limit"),
        ({"budget-per-pod": {"rules": True}}, "rules must be a whole number from 0, not True"),
        ({"budget-per-namespace": {"rules": -1}}, "not -1"),
        ({"budget-per-namespace": 7}, "must be a mapping of rules, selectors"),
        ({"backend-by-kind": ["nftables"]}, "must be a mapping of names to strings"),
    ],
)
def test_malformed_setting_is_named_with_the_remedy(raw, words):
    with pytest.raises(InputError) as caught:
        parse(raw)
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_not_passed_over():
    def fail(name):
        raise InputError("cannot be read", where=name)

    with pytest.raises(InputError, match=r"rules\.txt: cannot be read"):
        parse({"custom-v4-ingress-rule-file": "rules.txt"}, fail)


def test_network_plugins_narrow_down_the_enforced_types():
    assert Settings().enforced_types({"macvlan", "ipvlan"}) == {"macvlan", "ipvlan"}
    assert parse({"network-plugins": "macvlan"}).enforced_types({"macvlan", "ipvlan"}) == {"macvlan"}


def test_a_network_plugin_that_no_plugin_claims_makes_ordinary_devices():
    """S64: as both other engines have it; most real definitions are of such a type."""
    settings = parse({"network-plugins": ["macvlan", "cnv-bridge"]})
    assert settings.enforced_types({"macvlan"}) == {
        "macvlan",
        "cnv-bridge",
    }
    with pytest.raises(InputError, match=r"network-plugins: 'a b' is not the name of a CNI plugin"):
        parse({"network-plugins": ["a b"]}).enforced_types({"macvlan"})


def test_plugins_are_disabled_by_name():
    assert parse({"plugins": {"disabled": ["sriov", "mnp-lab"]}}).disabled_plugins == ("sriov", "mnp-lab")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ([], "plugins"),
        ({"disabled": 7}, "plugins.disabled"),
        ({"disabled": [7]}, "plugins.disabled"),
        ({"disbled": []}, "plugins.disbled"),
    ],
)
def test_disabling_an_unknown_plugin_is_an_error_that_names_the_field(raw, field):
    with pytest.raises(InputError) as wrong:
        parse({"plugins": raw})
    assert (wrong.value.where, wrong.value.field) == ("settings.yaml", field)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (None, ()),
        ("none", ()),
        ("kubevirt", ("kubevirt",)),
        ("ipam-claims, kubevirt", ("ipam-claims", "kubevirt")),
        (["kubevirt", "ipam-claims", "kubevirt"], ("kubevirt", "ipam-claims")),
    ],
)
def test_sources_of_guests_addresses_keep_their_order(written, names):
    """S75: the first that has addresses is believed."""
    assert parse({"guest-addresses": written}).guest_addresses == names
