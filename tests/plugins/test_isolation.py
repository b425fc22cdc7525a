"""A broken plugin is a status; its healthy neighbour works. Every case is a distribution as pip would install it."""

import sys

import pytest
from packaging.specifiers import SpecifierSet

from mnp_core.api import Outcome, Result
from mnp_core.errors import InputError, PluginError
from mnp_core.model import ObjectName
from mnp_core.plugins import Registry, State, load_plugins
from mnp_core.plugins._discovery import Plugin, incompatibility

PRELUDE = """
import pluggy
from mnp_core import hookimpl
from mnp_core.api import *

class Thing:
    def discover(self, claim, links): ...
    def render(self, policy): ...
    def render_delta(self, delta): ...

GOOD = PolicyRendererSpec(name="sick", dialect="sick", factory=Thing)

"""
OUTCOME = Outcome(pod=ObjectName("a", "b"), result=Result.APPLIED)


def registers(hook: str, offer: str) -> str:
    return f"@hookimpl\ndef {hook}():\n    yield {offer}\n"


def renderer(name: str = "'sick'", factory: str = "Thing") -> str:
    spec = f"PolicyRendererSpec(name={name}, dialect='sick', factory={factory})"
    return registers("mnp_register_policy_renderers", spec)


def discoverer(cni_types: str = "frozenset({'sick'})", factory: str = "Thing") -> str:
    spec = f"InterfaceDiscovererSpec(name='sick', cni_types={cni_types}, factory={factory})"
    return registers("mnp_register_interface_discoverers", spec)


def policy_kind(group: str = "'a.b'", versions: str = "('v1',)", kind: str = "'Sick'") -> str:
    spec = f"PolicyKindSpec(name='x', group={group}, versions={versions}, kind={kind}, plural='sicks', parse=Thing)"
    return registers("mnp_register_policy_kinds", spec)


BROKEN = {
    "fails at import": ("1 / 0", "it cannot be imported: ZeroDivisionError: division by zero"),
    "needs a module that is not there": ("import mnp_nowhere", "No module named 'mnp_nowhere'"),
    "is not Python": ("def", "SyntaxError"),
    "exits at import": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "raises what cannot be printed": (
        "class E(BaseException):\n    def __str__(self): 1 / 0\nraise E",
        "it cannot be imported: E: (it cannot be printed)",
    ),
    "fails when it registers": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    raise LookupError('what now')",
        "mnp_register_policy_renderers: LookupError: what now",
    ),
    "exits when it registers": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    raise SystemExit",
        "mnp_register_policy_renderers: SystemExit",
    ),
    "fails half-way in a generator": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    yield GOOD\n    raise LookupError('half-way')",
        "mnp_register_policy_renderers: LookupError: half-way",
    ),
    "fails in the second of its hooks": (
        registers("mnp_register_policy_renderers", "GOOD") + registers("mnp_register_rule_appliers", "1 / 0"),
        "mnp_register_rule_appliers: ZeroDivisionError",
    ),
    "never stops offering": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    while True: yield GOOD",
        "offers more than 1000",
    ),
    "offers nothing at all": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    GOOD",
        "must return or yield descriptors, not None",
    ),
    "offers a descriptor instead of several": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    return GOOD",
        "must return or yield descriptors, not PolicyRendererSpec(",
    ),
    "offers a thing of another type": (
        registers("mnp_register_policy_renderers", "Thing"),
        "which is not a PolicyRendererSpec",
    ),
    "offers a descriptor of another hook": (
        registers("mnp_register_rule_appliers", "GOOD"),
        "which is not a RuleApplierSpec",
    ),
    "a name of another type": (
        renderer(name="7"),
        "renderer 7: name is 7, but must be lower case",
    ),
    "a name that breaks out of its place": (
        renderer(name="'sick\\n'"),
        "name is 'sick\\n', but must be lower case",
    ),
    "a factory that cannot be called": (
        renderer(factory="'Thing'"),
        "renderer 'sick': factory is 'Thing', but must be something that can be called",
    ),
    "CNI types as one text": (
        discoverer(cni_types="'sick'"),
        "cni_types is 'sick', but must be a frozenset",
    ),
    "no CNI type": (
        discoverer(cni_types="frozenset()"),
        "cni_types is frozenset(), but must be",
    ),
    "a CNI type that is a path": (
        discoverer(cni_types="frozenset({'../sick'})"),
        "names of CNI plugins",
    ),
    "a policy kind without versions": (
        policy_kind(versions="()"),
        "policy kind 'x': versions is ()",
    ),
    "a policy kind of the core": (
        policy_kind(group="'k8s.cni.cncf.io'", kind="'MultiNetworkPolicy'"),
        "MultiNetworkPolicy is read by the core itself",
    ),
    "a kind of the core in another API group": (
        policy_kind(group="'other.example'", kind="'Pod'"),
        "Pod is read by the core itself",
    ),
    "one name twice": (
        "@hookimpl\ndef mnp_register_policy_renderers():\n    yield GOOD\n    yield GOOD",
        "it registers renderer 'sick' twice",
    ),
    "a wrapper": (
        "@hookimpl(wrapper=True)\ndef mnp_register_policy_renderers():\n    return (yield)",
        "mnp_register_policy_renderers is a wrapper",
    ),
    "a wrapper of the old style": (
        "@hookimpl(hookwrapper=True)\ndef mnp_observe_outcome(outcome):\n    yield",
        "mnp_observe_outcome is a wrapper",
    ),
    "a misspelt hook": (
        registers("mnp_register_policy_renderer", "GOOD"),
        "there is no hook mnp_register_policy_renderer: mnp_register_policy_renderers is meant?",
    ),
    "a misspelt hook that is marked optional": (
        "@hookimpl(optionalhook=True)\ndef mnp_observe_outcomes(outcome): ...",
        "mnp_observe_outcome is meant?",
    ),
    "a hook without its marker": (
        "def mnp_register_policy_renderers():\n    yield GOOD",
        "mnp_register_policy_renderers is not marked",
    ),
    "an argument too many": ("@hookimpl\ndef mnp_observe_outcome(outcome, colour): ...", "{'colour'}"),
    "an argument with a default": (
        "@hookimpl\ndef mnp_observe_outcome(outcome=None): ...",
        "mnp_observe_outcome(outcome) must have no defaults",
    ),
    "an asynchronous hook": ("@hookimpl\nasync def mnp_observe_outcome(outcome): ...", "is asynchronous"),
    "an observer that is a generator": ("@hookimpl\ndef mnp_observe_sync(sync):\n    yield", "nothing would run it"),
}


def assert_healthy(registry: Registry) -> None:
    """The neighbour is loaded, its factories work, and its observers are notified."""
    [status] = [status for status in registry.statuses if status.name == "healthy"]
    assert status.state is State.LOADED
    assert status.detail == ""
    assert status.provides == ("discoverer healthy (healthy)", "renderer healthy", "applier healthy", "observe_outcome")
    assert registry.applier("healthy").probe().usable
    assert registry.renderer("healthy")
    assert registry.discoverer("healthy")
    registry.observe_outcome(OUTCOME)
    assert sys.modules["mnp_healthy"].OUTCOMES == [OUTCOME]


@pytest.mark.parametrize(("source", "says"), BROKEN.values(), ids=BROKEN)
def test_broken_plugin_contributes_nothing_and_its_neighbour_works(site, source, says):
    site.install("mnp-sick", PRELUDE + source, version="2.3")
    registry = site.load()
    status = site.status(registry, "sick")
    assert (status.state, status.distribution, status.version) == (State.FAILED, "mnp-sick", "2.3")
    assert says in status.detail
    assert "\n" not in status.detail
    assert status.provides == ()
    assert "sick" not in registry.renderers
    assert "sick" not in registry.claimed_types
    assert status in registry.problems
    assert_healthy(registry)


def test_a_setting_for_a_broken_plugin_names_distribution_failure_and_remedy(site):
    site.install("mnp-sick", "1 / 0", version="2.3")
    registry = site.load()
    for lookup in (
        lambda: registry.applier("sick"),
        lambda: registry.renderer("sick"),
        lambda: registry.discoverer("sick"),
        lambda: registry.locator("sick", {}),
        lambda: registry.command("sick"),
        lambda: registry.policy_kinds.require("sick"),
    ):
        with pytest.raises(
            PluginError, match=r"mnp-sick 2\.3: failed.*ZeroDivisionError.*pip install --upgrade mnp-sick"
        ):
            lookup()
    assert_healthy(registry)


def test_keyboard_interrupt_passes(site):
    site.install("mnp-sick", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.load()


def test_plugin_for_another_core_is_not_imported(site):
    site.install("mnp-sick", "raise AssertionError('imported')", requires=("mnp-core>=7,<8",))
    registry = site.load()
    status = site.status(registry, "sick")
    assert status.state is State.SKIPPED
    assert "it requires mnp-core<8,>=7, but mnp-core 0.1.0 is running" in status.detail
    assert "pip install --upgrade mnp-sick" in status.detail
    assert "mnp_sick" not in sys.modules
    assert_healthy(registry)


@pytest.mark.parametrize(
    "requires",
    [
        (),
        ("mnp_core>=0.1",),
        ("MNP.Core ~=0.1",),
        ('mnp-core>=7; extra == "later"',),
        ('mnp-core>=7; python_version < "3"',),
    ],
)
def test_requirements_that_admit_this_core(site, requires):
    site.install("mnp-well", "", requires=requires)
    assert site.status(site.load(), "well").state is State.LOADED


@pytest.mark.parametrize("operator", [">=", "<", "<=", ">", "==", "!=", "~=", ">= ", "<  "])
def test_limits_of_versions_are_those_of_packaging(operator):
    limits = ["0.0", "0.0.9", "0.1", "0.1.0.0", "00.01", "0.1.0.1", "0.1.1", "0.2", "0.10", "1.0"]
    forms = ["{}", "{},<2", "{} , < 2.0", ">=0.0.1,{}", ">=0.0.1,>0.0.2,{}"]
    for versions in (form.format(operator + limit) for form in forms for limit in limits):
        plugin = Plugin(name="x", distribution="mnp-x", version="1", requires=(f"mnp-core{versions}",))
        assert (not incompatibility(plugin)) == SpecifierSet(versions).contains("0.1.0")


def test_unreadable_requirement_fails_that_plugin(site):
    site.install("mnp-sick", "", requires=("mnp-core >=> 1",))
    registry = site.load()
    assert site.status(registry, "sick").state is State.FAILED
    assert "requirement" in site.status(registry, "sick").detail
    assert_healthy(registry)


@pytest.mark.parametrize(
    ("entry_points", "name", "says"),
    [
        ("[mnp]\nsick\n", "mnp-sick", "metadata cannot be read"),
        ("[mnp]\nsick = mnp_sick:plugin\n", "sick", "must name a module"),
        ("[mnp]\nsick = not a module\n", "sick", "must name a module"),
        ("[mnp]\nSick = mnp_sick\n", "Sick", "must be lower case"),
    ],
)
def test_malformed_entry_points_fail_that_plugin(site, entry_points, name, says):
    site.install("mnp-sick", "", entry_points=entry_points)
    registry = site.load()
    assert site.status(registry, name).state is State.FAILED
    assert says in site.status(registry, name).detail
    assert_healthy(registry)


def test_damaged_metadata_of_strangers_is_passed_over(site, caplog):
    (site.folder / "rubble-1.dist-info").mkdir()
    (site.folder / "rubble-1.dist-info" / "entry_points.txt").write_bytes(b"[mnp]\n\xff = x")
    assert_healthy(site.load())
    assert "cannot be read" in caplog.text


def test_disabled_plugins_are_not_imported(site):
    site.install("mnp-sick", "raise AssertionError('imported')")
    for name in ("sick", "mnp-sick", "MNP_Sick"):
        registry = site.load(name)
        status = site.status(registry, "sick")
        assert (status.state, status.provides) == (State.DISABLED, ())
        assert status not in registry.problems
    assert "mnp_sick" not in sys.modules
    assert_healthy(registry)


@pytest.mark.usefixtures("site")
def test_disabling_a_plugin_that_is_not_installed_is_an_error_that_names_the_field():
    with pytest.raises(InputError, match="no plugin 'healhty' is installed: is 'healthy' meant") as wrong:
        load_plugins(["healthy", "healhty"])
    assert wrong.value.field == "plugins.disabled[1]"


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("lambda: 1 / 0", "its factory failed: ZeroDivisionError"),
        ("exit", "its factory failed: SystemExit"),
        ("lambda: None", "but None has no render, render_delta"),
        ("lambda unasked: Thing()", "its factory failed: TypeError"),
    ],
)
def test_failing_factory_names_the_distribution(site, factory, says):
    site.install(
        "mnp-sick",
        PRELUDE + renderer(factory=factory),
    )
    registry = site.load()
    assert site.status(registry, "sick").state is State.LOADED, "factories are called when they are needed"
    with pytest.raises(PluginError, match=r"renderer 'sick' of mnp-sick 1\.0 cannot be used") as caught:
        registry.renderer("sick")
    assert says in str(caught.value)
    assert "pip install --upgrade mnp-sick" in str(caught.value)
    assert_healthy(registry)


def test_discoverer_that_cannot_be_made_reports_every_attachment_of_its_type(site, attachment):
    """S64"""
    site.install(
        "mnp-sick",
        PRELUDE + discoverer(factory="lambda: 1 / 0"),
    )
    registry = site.load()
    made = registry.make_discoverers()
    assert "mnp-sick 1.0" in made["sick"].discover(attachment, ()).unenforceable
    assert made["healthy"].discover(attachment, ()).unenforceable == ""


def test_observer_that_raises_is_logged_once(site, caplog):
    site.install(
        "mnp-sick", PRELUDE + "@hookimpl\ndef mnp_observe_outcome(outcome):\n    raise SystemExit(outcome.pod)"
    )
    registry = site.load()
    assert_healthy(registry)
    registry.observe_outcome(OUTCOME)
    [said] = [record.getMessage() for record in caplog.records if "SystemExit" in record.getMessage()]
    assert said.startswith("plugin sick of mnp-sick 1.0: mnp_observe_outcome")
    assert "SystemExit: a/b" in said


def test_observer_may_leave_out_the_argument(site):
    site.install("mnp-well", PRELUDE + "CALLS = []\n@hookimpl\ndef mnp_observe_outcome():\n    CALLS.append(1)")
    site.load().observe_outcome(OUTCOME)
    assert sys.modules["mnp_well"].CALLS == [1]
