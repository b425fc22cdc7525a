"""Standard tests are neither overridden nor dropped in silence, and the report lists those that ran."""

import os
import re
import subprocess
import sys
from textwrap import dedent

import pytest

from mnp_core.testing.conformance import InterfaceDiscovererConformance, RendererConformance
from tests.conformance_kit.sound import DiscovererTests, PolicyKindTests

NAME = "test_another_mac_is_said"
REASON = "the device has none"
LEAN = {
    **os.environ,
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}  # hypothesis and others take longer to load than these tests


@pytest.mark.parametrize("value", [lambda _: None, None, property(lambda _: None)], ids=["own", "none", "other"])
def test_a_standard_test_cannot_be_overridden_or_dropped_in_silence(value):
    with pytest.raises(TypeError, match=rf"(overrides|drops) the standard test {NAME}: name it in `exceptions`"):
        type("TestMine", (DiscovererTests,), {NAME: value})


def test_nor_by_a_class_in_between_or_beside():
    class Beside:
        def test_another_mac_is_said(self):
            pass

    with pytest.raises(TypeError, match=NAME):
        type("TestMine", (Beside, DiscovererTests), {})
    between = type("Between", (DiscovererTests,), {NAME: None, "exceptions": {NAME: REASON}})
    with pytest.raises(TypeError, match=NAME):
        type("TestMine", (between,), {"exceptions": {}})


@pytest.mark.parametrize(
    ("exceptions", "said"),
    [({NAME: " "}, f"no reason for {NAME}"), ({"test_anoter_mac": REASON}, "'test_anoter_mac', which is no standard")],
)
def test_exceptions_have_a_reason_and_are_spelt_rightly(exceptions, said):
    with pytest.raises(TypeError, match=said):
        type("TestMine", (DiscovererTests,), {"exceptions": exceptions})


@pytest.mark.parametrize(
    ("refused", "said"),
    [({"recheck": ""}, "no reason for 'recheck'"), ({"rechekc": "no"}, "'rechekc', which is no case of the corpus")],
)
def test_cases_that_a_renderer_refuses_have_a_reason_and_are_spelt_rightly(refused, said):
    with pytest.raises(TypeError, match=said):
        type("TestMine", (RendererConformance,), {"refused": refused})


def test_missing_definitions_are_named():
    with pytest.raises(NotImplementedError, match="TestMine does not define make_discoverer"):
        type("TestMine", (InterfaceDiscovererConformance,), {})().make_discoverer()


def run(folder, source, *arguments, before=()):
    """Run pytest as a plugin's author would, in a folder of theirs."""
    (folder / "test_mine.py").write_text(dedent(source))
    command = [*before, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=LEAN, capture_output=True, text=True, check=False)


MINE = """
    from mnp_core.discovery import compare
    from mnp_core.model import Link
    from mnp_core.testing.conformance import InterfaceDiscovererConformance

    class Discoverer:
        def discover(self, claim, links):
            return compare(claim, links)

    class TestMine(InterfaceDiscovererConformance):
        exceptions = {
            "test_a_real_interface_is_as_claimed": "the machine has no such device",
            "test_another_mac_is_said": "said in other words",
        }

        def make_discoverer(self):
            return Discoverer()

        def cni_type(self):
            return "mine"

        def link(self):
            return Link(name="net1", index=2)

        def test_another_mac_is_said(self):
            pass
"""


def test_the_report_counts_tests_and_prints_exceptions_with_their_reasons(tmp_path):
    done = run(tmp_path, MINE, "-p", "mnp_core.testing.plugin", "-W", "error")
    assert done.returncode == 0, done.stdout
    assert "TestMine: 10 standard tests: 9 passed, 1 skipped" in done.stdout
    assert "  exception: test_a_real_interface_is_as_claimed: the machine has no such device" in done.stdout
    assert "  exception: test_another_mac_is_said: said in other words" in done.stdout


def test_deselected_tests_are_counted(tmp_path):
    done = run(tmp_path, MINE, "-p", "mnp_core.testing.plugin", "-k", "mac")
    assert "10 standard tests: 2 passed, 8 left out" in done.stdout


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("skip(reason='not today')", "not today"),
        ("skip(reason='')", "no reason is given"),
        ("xfail(reason='some day', run=False)", "some day"),
    ],
)
def test_tests_skipped_by_a_mark_are_printed_with_its_reason(tmp_path, mark, said):
    marked = dedent(MINE).replace("class TestMine", f"import pytest\n\n@pytest.mark.{mark}\nclass TestMine")
    done = run(tmp_path, marked, "-p", "mnp_core.testing.plugin")
    assert re.search(rf"  skipped: \d+ cases: (\[NOTRUN\] )?{said}", done.stdout), done.stdout


def test_the_plugin_is_asked_for(tmp_path):
    """Without it, exceptions would not be printed."""
    done = run(tmp_path, MINE)
    assert done.returncode == 1
    assert "run pytest with -p mnp_core.testing.plugin" in done.stdout


def test_without_root_the_other_tiers_run_and_the_reason_is_printed(tmp_path):
    source = dedent(MINE).replace('    "test_a_real_interface_is_as_claimed": "the machine has no such device",', "")
    done = run(tmp_path, source, "-p", "mnp_core.testing.plugin", "-rs", before=["unshare", "--user"])
    assert "10 standard tests: 9 passed, 1 skipped" in done.stdout
    assert "needs root: network namespaces" in done.stdout


def test_a_test_that_is_taken_away_later_is_missed(tmp_path):
    done = run(tmp_path, dedent(MINE) + "\nTestMine.test_other_addresses_are_said = lambda self: None\n",
               "-p", "mnp_core.testing.plugin", "-W", "error")  # fmt: skip
    assert done.returncode != 0
    assert "overrides the standard test test_other_addresses_are_said" in done.stdout + done.stderr


def test_standard_tests_say_which_rule_they_are_about():
    for kind in (DiscovererTests, PolicyKindTests):
        assert all(test.__doc__ for test in kind.standard_tests.values())


def test_the_kit_does_not_need_pytest_where_no_test_is_run():
    """It is an extra of mnp-core: lab and agent work without it, and so do fakes and builders."""
    modules = ["builders", "cluster", "corpus", "fakes", "frames", "hosts", "lifecycle", "netns", "nft", "oracle",
               "policies", "wired"]  # fmt: skip
    ask = f"import sys, importlib; [importlib.import_module('mnp_core.testing.' + m) for m in {modules}]"
    ask += "; import mnp_core.cli; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], check=False).returncode == 0
