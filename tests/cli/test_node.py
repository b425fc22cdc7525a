"""Flags of the node agent: ours, those of the agents in use today, and wrong ones."""

import pytest

from mnp_core.cli import flags
from mnp_core.cli.entrypoint import run_command
from mnp_core.cli.flags import Flags, read_flags
from mnp_core.cli.node import make_command, node_settings
from mnp_core.errors import InputError
from mnp_core.model import DenyAction, parse_cidr
from mnp_core.settings import NodeSettings, parse_settings
from tests.docs.test_pages import FLAGS_OF_THE_ENGINES


@pytest.fixture
def parsed():
    """The result of a command line, without running anything."""

    def parse(*arguments):
        command = make_command()
        context = command.make_context("multi-network-policy-node", list(arguments))
        file = context.params.pop("settings_file")
        said = read_flags(context.params)
        return node_settings(file, said), said.remarks

    return parse


def test_nothing_said_means_the_defaults(parsed):
    assert parsed() == (parse_settings(None, where="", read=str), ())


@pytest.mark.parametrize(
    ("written", "value"),
    [("--accept-icmp", True), ("--accept-icmp=true", True), ("--accept-icmp=0", False), ("--accept-icmp=F", False)],
)
def test_truth_is_written_as_in_go(parsed, written, value):
    assert parsed(written)[0].common.accept_icmp is value


def test_a_flag_counts_before_the_file(parsed, write):
    file = write("settings.yaml", "deny-action: reject\nhostname-override: a\naccept-icmp: true\n")
    settings, _ = parsed("--settings", str(file), "--hostname-override=b", "--accept-icmp=false")
    assert (settings.common.deny_action, settings.node.name) == (DenyAction.REJECT, "b")
    assert not settings.common.accept_icmp


def test_flags_of_the_agents_in_use_today_are_accepted(parsed, write):
    """As in their deploy.yml."""
    rules = write("rules/v4.txt", "# nothing\nudp dport 53 accept\n")
    settings, remarks = parsed(
        "--host-prefix=/host",
        "--container-runtime-endpoint=/run/crio/crio.sock",
        "--network-plugins=macvlan,ipvlan",
        "--accept-icmpv6",
        "--allow-ipv6-src-prefix=fe80::/10",
        "--allow-ipv6-dst-prefix=fe80::/10,ff00::/8",
        f"--custom-v4-ingress-rule-file={rules}",
        "--pod-iptables=/var/lib/multi-networkpolicy/iptables",
        "-v=4",
    )
    assert settings.node.locator == {"host-prefix": "/host", "container-runtime-endpoint": "/run/crio/crio.sock"}
    assert settings.network_plugins == {"macvlan", "ipvlan"}
    assert settings.common.allow_src_prefixes == (parse_cidr("fe80::/10"),)
    assert settings.common.allow_dst_prefixes == (parse_cidr("fe80::/10"), parse_cidr("ff00::/8"))
    assert settings.common.custom[0].lines == ("# nothing", "udp dport 53 accept")
    assert len(remarks) == 4
    assert any("--pod-iptables has no meaning here" in text for text in remarks)


@pytest.mark.parametrize("engine", FLAGS_OF_THE_ENGINES)
def test_every_flag_of_the_agents_in_use_today_is_taken(engine):
    taken = {*flags.SWITCHES, *flags.TEXTS, *flags.OTHER_NAMES, *flags.MEANINGLESS}
    assert set(FLAGS_OF_THE_ENGINES[engine].split()) <= taken


def test_every_setting_that_is_no_mapping_is_a_flag():
    with pytest.raises(InputError) as caught:
        parse_settings({"?": 1}, where="", read=str)
    settings = set(caught.value.message.partition("there are: ")[2].split(", "))
    mappings = {name for name in settings if name.startswith(("budget-per-", "backend-by-", "gate-at-limit-by-"))}
    assert set(flags.names()) == settings - mappings - {"plugins", "sandbox-locator-settings", "gate-settings"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--accept-icmp=maybe"], "--accept-icmp: 'maybe' is neither true nor false"),
        (["--deny-action=allow"], "--deny-action: must be drop or reject, not 'allow'"),
        (["--allow-src-prefix=10.0.0.0/99"], "--allow-src-prefix: '10.0.0.0/99'"),
        (["--accept-imcp"], "No such option '--accept-imcp'"),
        (["--settings=/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        (["--backend=nfftables"], "nfftables"),
        (["--listen=here"], "is not an address to listen on"),
        (["--sandbox-locator=crii"], "crii"),
        (["--kubeconfig=/nowhere"], "/nowhere"),
    ],
)
@pytest.mark.root
def test_wrong_value_is_named_with_the_flag_and_ends_at_once(capfd, arguments, words):
    if not arguments[0].startswith("--listen"):
        arguments = [*arguments, "--listen=127.0.0.1:0"]
    assert run_command(make_command, arguments, "multi-network-policy-node") == 2
    error = " ".join(capfd.readouterr().err.split())
    assert words in error


def test_a_setting_of_the_file_that_is_unknown_is_an_error(write):
    file = write("settings.yaml", "accept-imcp: true\n")
    with pytest.raises(
        InputError, match=r"settings.yaml: accept-imcp: there is no such setting: is 'accept-icmp' meant"
    ):
        node_settings(file, Flags({}, ()))


def test_defaults_of_the_node_are_safe():
    assert NodeSettings().listen.startswith("127.0.0.1:")
