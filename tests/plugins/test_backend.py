"""The choice of a backend: installed, configured, supported."""

import pytest

from mnp_core.backend import Backends, BackendSettings, choose_backend, choose_renderer
from mnp_core.errors import InputError, PluginError, UnsupportedError
from mnp_core.model import (
    Attachment,
    CommonRules,
    CustomRules,
    Direction,
    Feature,
    InterfacePolicy,
    LinkPath,
    ObjectName,
    SandboxPolicy,
)
from mnp_core.plugins import load_plugins

PLUGIN = """
from mnp_core import hookimpl
from mnp_core.errors import InputError
from mnp_core.api import PolicyRendererSpec, RuleApplierSpec, Support
from mnp_core.model import Feature, LinkPath, Ruleset

DIALECT, PROBES, REFUSES, RANK = {dialect!r}, {probes!r}, {refuses!r}, {rank!r}
PATHS, OBSTACLE = frozenset(map(LinkPath, {paths!r})), {obstacle!r}

class Renderer:
    dialect = DIALECT
    def render(self, policy):
        text = " ".join(f"{{each.interface}}:{{each.path}}" for each in policy.interfaces)
        return Ruleset(dialect=DIALECT, text=text, digest=text)
    def render_delta(self, delta): ...

def applier(support):
    class Applier:
        def probe(self): return eval(support)
        def apply(self, ruleset): ...
        def update(self, delta): ...
        def installed(self): ...
        def generation(self): ...
        def counters(self): ...
        def remove(self): ...
        def check(self, common):
            for custom in common.custom:
                if "wrong" in custom.lines:
                    raise InputError("line 2", where=custom.place)
        def obstacle(self, path): return OBSTACLE
        def installed_paths(self): return frozenset()
    return Applier

@hookimpl
def mnp_register_policy_renderers():
    yield PolicyRendererSpec(name=DIALECT, dialect=DIALECT, factory=Renderer, refuses=frozenset(map(Feature, REFUSES)))

@hookimpl
def mnp_register_rule_appliers():
    for name, support in PROBES.items():
        yield RuleApplierSpec(name=name, dialect=DIALECT, factory=applier(support), rank=RANK, paths=PATHS)
"""


@pytest.fixture
def backends(site):
    """Installs a dialect with appliers, each with the expression that its probe evaluates."""

    def install(
        dialect: str,
        refuses: tuple[str, ...] = (),
        rank: int | None = None,
        paths: tuple[str, ...] = ("ip",),
        obstacle: str = "",
        **probes: str,
    ) -> None:
        named = {name.replace("_", "-"): text for name, text in probes.items()}
        source = PLUGIN.format(
            dialect=dialect, probes=named, refuses=refuses, rank=rank, paths=paths, obstacle=obstacle
        )
        site.install(f"mnp-{dialect}", source)

    return install


def usable(rank: int) -> str:
    return f"Support(usable=True, rank={rank})"


UNUSABLE = "Support(usable=False, detail='no such table')"


def test_highest_rank_of_those_that_work_is_taken(site, backends):
    backends("tables", tables_old=usable(2), tables_new=usable(5), tables_best=UNUSABLE)
    backend = choose_backend(site.load())
    assert backend.name == "tables-new"
    assert backend.renderer.dialect == "tables"


@pytest.mark.parametrize("probe", ["1 / 0", "exit()", "None", UNUSABLE])
def test_applier_that_cannot_say_it_works_is_passed_over(site, backends, probe):
    backends("tables", tables=probe)
    assert choose_backend(site.load()).name == "healthy"


def test_equal_ranks_ask_for_a_setting(site, backends):
    backends("tables", tables=usable(1))
    with pytest.raises(PluginError, match="choose one of them in the settings: healthy, tables"):
        choose_backend(site.load())
    assert choose_backend(site.load(), "tables").name == "tables"


def test_none_that_works_says_why_for_each(site, backends):
    backends("tables", tables=UNUSABLE, other="1 / 0")
    with pytest.raises(UnsupportedError) as caught:
        choose_backend(site.load("healthy"))
    assert "backend 'tables' cannot be used here: no such table" in str(caught.value)
    assert "the probe of applier 'other' failed: ZeroDivisionError" in str(caught.value)


def test_configured_applier_is_never_replaced(site, backends):
    backends("tables", tables=UNUSABLE)
    with pytest.raises(UnsupportedError, match="'tables' cannot be used here: no such table"):
        choose_backend(site.load(), "tables")


def test_dialect_as_name_takes_the_best_of_its_appliers(site, backends):
    backends("tables", tables_old=usable(0), tables_new=usable(3))
    backends("queues", queues=usable(9))
    assert choose_backend(site.load(), "tables").name == "tables-new"


def test_unknown_name_lists_installed_and_installable_backends(site):
    with pytest.raises(PluginError, match=r"no applier 'absent', installed are healthy.*`mnp plugins` lists"):
        choose_backend(site.load(), "absent")
    with pytest.raises(PluginError, match="Is 'healthy' meant"):
        choose_backend(site.load(), "healhty")


def test_without_a_backend_the_error_names_installable_ones(site):
    site.install("mnp-sick", "1 / 0")
    for choose in (choose_backend, choose_renderer):
        with pytest.raises(PluginError, match=r"pip install one, for example mnp-nftables\. plugin sick of mnp-sick"):
            choose(site.load("healthy"))


def test_applier_without_renderer_names_the_dialect(site):
    source = PLUGIN.format(
        paths=("ip",), obstacle="", dialect="tables", probes={"tables": usable(9)}, refuses=(), rank=None
    ).replace("yield PolicyRendererSpec", "()#")
    site.install("mnp-tables", source.replace("    ()#", "    return ()#"))
    with pytest.raises(PluginError, match="no dialect 'tables', installed are healthy"):
        choose_backend(site.load(), "tables")
    assert choose_backend(site.load()).name == "healthy"


def test_renderer_of_the_highest_rank_is_chosen_even_if_it_is_not_usable_here(site, backends):
    backends("tables", tables="Support(usable=False, rank=7)")
    assert choose_renderer(site.load()).dialect == "tables"


def test_appliers_of_a_declared_rank_are_not_made_to_choose_a_renderer(site, backends):
    backends("tables", rank=7, tables="1 / 0")
    assert choose_renderer(site.load()).dialect == "tables"
    with pytest.raises(UnsupportedError, match="division by zero"):
        choose_backend(site.load(), "tables")  # it is made here


def test_declared_ranks_are_those_of_the_probe():
    registry = load_plugins()
    declared = {name: spec.rank for name, spec in registry.appliers.items() if spec.rank is not None}
    assert declared == {name: registry.probe(name, registry.applier(name)).rank for name in declared}
    assert {"nftables", "iptables-nft", "iptables-legacy"} <= declared.keys()


def test_renderer_can_be_chosen_where_nothing_is_usable(site, backends):
    assert choose_renderer(site.load()).render_delta(None).dialect == "healthy"
    backends("tables", tables_new="1 / 0")
    registry = site.load()
    assert choose_renderer(registry, "tables").dialect == "tables"
    assert choose_renderer(registry, "tables-new").dialect == "tables"
    assert choose_renderer(registry).render_delta(None).dialect == "healthy"
    with pytest.raises(PluginError, match="no dialect 'queues'"):
        choose_renderer(registry, "queues")


def attachment(network: str, kind: str) -> Attachment:
    return Attachment(pod=ObjectName("a", "pod"), network=ObjectName("a", network), interface=network, kind=kind)


def test_setting_of_the_network_before_the_kind_before_the_node(site, backends):
    backends("tables", tables=usable(0), other=usable(0))
    settings = BackendSettings(
        node="healthy", kinds={"macvlan": "tables"}, networks={ObjectName("a", "special"): "other"}
    )
    choice = Backends(site.load(), settings)
    assert choice.of([attachment("n", "ipvlan")]).name == "healthy"
    assert choice.of([attachment("n", "macvlan"), attachment("m", "macvlan")]).name == "tables"
    assert choice.of([attachment("special", "macvlan")]).name == "other"
    assert choice.of([]).name == "healthy"
    assert choice.of([attachment("n", "ipvlan")]) is choice.of([]), "each is made once"


def test_several_backends_in_one_sandbox_are_an_error_that_names_both(site, backends):
    backends("tables", tables=usable(0))
    choice = Backends(site.load(), BackendSettings(node="healthy", kinds={"macvlan": "tables"}))
    with pytest.raises(PluginError, match=r"pod a/pod .*n on a/n has healthy, m on a/m has tables"):
        choice.of([attachment("n", "ipvlan"), attachment("m", "macvlan")])


@pytest.mark.parametrize(
    "settings",
    [
        BackendSettings(node="nowhere"),
        BackendSettings(kinds={"macvlan": "nowhere"}),
        BackendSettings(networks={ObjectName("a", "b"): "nowhere"}),
    ],
)
def test_a_setting_with_an_unknown_name_is_fatal_at_once(site, settings):
    with pytest.raises(PluginError, match="no applier 'nowhere'"):
        Backends(site.load(), settings)


NEEDED = frozenset({Feature.REJECT, Feature.RECHECK})


@pytest.mark.parametrize("settings", [BackendSettings(node="tables"), BackendSettings(kinds={"macvlan": "tables"})])
def test_a_backend_that_refuses_a_setting_is_an_error_at_once_that_names_both(site, backends, settings):
    backends("tables", ("deny-action: reject",), tables=usable(5))
    with pytest.raises(UnsupportedError, match="backend 'tables' refuses the setting 'deny-action: reject': take it"):
        Backends(site.load(), settings, NEEDED)
    Backends(site.load(), settings, frozenset({Feature.RECHECK}))


def test_without_a_name_a_backend_that_refuses_no_setting_is_taken(site, backends):
    backends("tables", ("deny-action: reject",), tables=usable(5))
    assert choose_backend(site.load(), features=NEEDED).name == "healthy"
    assert choose_backend(site.load()).name == "tables"
    with pytest.raises(UnsupportedError, match="refuses the setting 'deny-action: reject'"):
        choose_backend(site.load("healthy"), features=NEEDED)


def test_rules_are_not_shown_where_the_node_would_not_start(site, backends):
    backends("tables", ("deny-action: reject", "established-flows: recheck"), tables=usable(5))
    refused = "refuses the setting 'deny-action: reject' and the setting 'established-flows: recheck'"
    with pytest.raises(UnsupportedError, match=refused):
        choose_renderer(site.load(), features=NEEDED)


def test_a_refusal_that_is_no_feature_is_an_error_of_the_plugin(site):
    source = PLUGIN.replace("map(Feature, REFUSES)", "REFUSES")
    asked = {"dialect": "tables", "probes": {}, "refuses": ("deny-action: reject",), "rank": None}
    site.install("mnp-tables", source.format(paths=("ip",), obstacle="", **asked))
    status = site.status(site.load(), "tables")
    assert "refuses is frozenset({'deny-action: reject'}), but must be a frozenset of mnp_core.model.Feature" in (
        status.detail
    )


def test_custom_rules_are_tried_by_every_backend_that_may_be_used(site, backends):
    """Section 7: a typing error is an error at start, not in every pod."""
    backends("tables", tables=usable(0))
    rules = CustomRules(direction=Direction.INGRESS, family=4, lines=("right", "wrong"), source="setting: file")
    common = CommonRules(custom=(rules,))
    Backends(site.load(), BackendSettings(node="healthy")).check(common)  # it has no way to try them
    Backends(site.load(), BackendSettings(node="tables")).check(CommonRules())
    for settings in (BackendSettings(node="tables"), BackendSettings(node="healthy", kinds={"macvlan": "tables"})):
        with pytest.raises(InputError, match="setting: file: line 2"):
            Backends(site.load(), settings).check(common)


def on(interface: str, path: LinkPath = LinkPath.IP) -> Attachment:
    return Attachment(pod=ObjectName("a", "p"), network=ObjectName("a", "net"), interface=interface, path=path)


def rendered(backend, *attachments):
    interfaces = tuple(InterfacePolicy(interface=each.interface, path=each.path) for each in attachments)
    return backend.renderer.render(SandboxPolicy(pod=ObjectName("a", "p"), interfaces=interfaces)).text.split("\n")


FRAMES = on("net1", LinkPath.BRIDGED)


def test_a_path_out_of_reach_brings_another_backend_beside_the_main_one(site, backends):
    backends("main", main="Support(usable=True, rank=9)")
    backends("frames", paths=("bridged",), frames="Support(usable=True, rank=-100)")
    choice = Backends(site.load(), BackendSettings())
    assert choice.of([on("net1")]).names == ("main",)
    both = choice.of([FRAMES, on("net2")])
    assert (both.name, both.names) == ("main+frames", ("main", "frames"))
    assert rendered(both, FRAMES, on("net2")) == ["net1:ip net2:ip", "net1:bridged"]
    assert [each.name for each in choice.others(both)] == ["healthy"]
    assert [each.name for each in choice.others(choice.of([on("net1")]))] == ["frames", "healthy"]


def test_a_main_backend_that_reaches_the_path_stays_alone(site, backends):
    backends("main", paths=("ip", "bridged"), main="Support(usable=True, rank=9)")
    backends("frames", paths=("bridged",), frames="Support(usable=True, rank=-100)")
    choice = Backends(site.load(), BackendSettings())
    assert choice.of([FRAMES]).names == ("main",)
    named = Backends(site.load(), BackendSettings(paths={LinkPath.BRIDGED: "frames"})).of([FRAMES])
    assert rendered(named, FRAMES) == ["net1:ip", "net1:bridged"]


def test_a_path_that_nothing_reaches_is_told_with_the_reason_and_changes_no_choice(site, backends):
    backends("main", paths=("ip", "bridged"), obstacle="no such module", main="Support(usable=True, rank=9)")
    choice = Backends(site.load(), BackendSettings())
    assert choice.obstacle([FRAMES], LinkPath.BRIDGED) == "main: no such module"
    assert (
        choice.obstacle([FRAMES], LinkPath.REDIRECTED) == "no backend here reaches interfaces whose path is redirected"
    )
    assert choice.of([FRAMES]).names == ("main",)


def test_a_path_that_only_an_unusable_backend_reaches_is_told_with_its_reason(site, backends):
    backends("main", main="Support(usable=True, rank=9)")
    backends("frames", paths=("bridged",), frames="Support(usable=False, rank=-100, detail='the verifier refuses it')")
    choice = Backends(site.load(), BackendSettings())
    reason = "backend 'frames' cannot be used here: the verifier refuses it"
    assert choice.obstacle([FRAMES], LinkPath.BRIDGED) == reason
    assert choice.obstacle([FRAMES], LinkPath.REDIRECTED).startswith("no backend here reaches")
    assert choice.of([FRAMES]).names == ("main",)


def test_a_backend_that_does_not_reach_the_path_it_is_named_for_is_refused(site, backends):
    backends("main", main="Support(usable=True, rank=9)")
    with pytest.raises(UnsupportedError, match="'main' does not reach interfaces whose path is bridged"):
        Backends(site.load(), BackendSettings(paths={LinkPath.BRIDGED: "main"}))
