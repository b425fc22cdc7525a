"""Custom rules of the node's operator: compiled once, elsewhere; a mistake is named (section 7)."""

import subprocess
import sys

import pytest

from mnp_core.errors import InputError
from mnp_core.model import CommonRules, CustomRules, Direction
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing import nft
from mnp_core.testing.netns import private_namespace
from mnp_nftables import NftablesApplier, NftablesRenderer
from plugins.nftables.tests.policies import DENY, only

pytestmark = pytest.mark.root
applier = NftablesApplier()


def rules(*lines):
    custom = CustomRules(direction=Direction.INGRESS, family=4, lines=lines, source="custom-v4-ingress-rule-file: in4")
    return CommonRules(custom=(custom,))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tcp dprot 80 accept", "syntax error"),
        ("tcp dport 80 jump nowhere", "No such file"),
        ("ip saddr @friends accept", "No such file"),
        ("accept; flush ruleset", "is not one nftables rule"),
        ("tcp dport {", "is not one nftables rule"),
        ('comment "open', "is not one nftables rule"),
    ],
)
def test_a_typing_error_names_file_line_and_reason(line, words):
    with pytest.raises(InputError, match=words) as caught:
        applier.check(rules("# the web", "", "tcp dport 80 accept", line))
    assert str(caught.value).startswith("custom-v4-ingress-rule-file: in4: line 4: ")
    assert line in str(caught.value)


def test_a_rule_that_makes_a_set_of_its_own_is_refused():
    with pytest.raises(InputError, match="a set or chain of its own"):
        applier.check(rules("tcp dport 80 meter web { ip saddr limit rate 1/second } accept"))


def test_the_trial_has_a_namespace_of_its_own():
    """Neither the namespace of the thread that asks nor anything of this process is touched."""
    with private_namespace() as namespace:
        run_inside(namespace, lambda: applier.check(rules("udp dport 4711 accept")))
        assert run_inside(namespace, nft.listing) == ""


def test_a_fresh_process_that_has_tried_the_rules_knows_them_again():
    """S62: not one write."""
    common = rules("udp dport { 4712, 5000-5005 } accept", "limit rate 1/second counter")
    ruleset = NftablesRenderer().render(only(ingress=DENY, custom=common.custom))
    ask = (
        "from mnp_nftables import NftablesApplier; from plugins.nftables.tests.test_custom import rules\n"
        f"NftablesApplier().check(rules(*{common.custom[0].lines!r})); print(NftablesApplier().installed().digest)"
    )
    with private_namespace() as namespace:
        run_inside(namespace, lambda: applier.apply(ruleset))
        done = run_inside(
            namespace, lambda: subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True)
        )
        assert done.stdout.strip() == ruleset.digest
        run_inside(namespace, lambda: nft.load("insert rule inet mnp custom-ingress-ipv4 accept\n"))
        assert not run_inside(namespace, applier.installed).matches(ruleset)
