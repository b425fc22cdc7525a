"""`mnp render`: the exact rules of each pod."""

import click

from mnp_core.backend import choose_renderer, try_custom_rules
from mnp_core.classes import frozen
from mnp_core.cli.helping import examples
from mnp_core.cli.names import parse_object_name
from mnp_core.cli.objects import Objects
from mnp_core.cli.options import Output, output_option, paths_argument, registry_of, settings_options
from mnp_core.cli.source import Source, paths_or_cluster, source_options
from mnp_core.cli.terminal import print_json, remark, remark_reports
from mnp_core.model import ObjectName, Ruleset
from mnp_core.settings import Settings


@frozen
class _Rendered:
    pod: ObjectName
    ruleset: Ruleset

    def as_json(self) -> dict[str, object]:
        ruleset = self.ruleset
        return {"pod": str(self.pod), "dialect": ruleset.dialect, "digest": ruleset.digest, "text": ruleset.text}


@click.command(
    "render",
    short_help="Print the ruleset of each pod.",
    epilog=examples(
        ("The rules of one pod as nftables would load them:", "mnp render policies --pod demo/web --backend nftables"),
        ("All of them for a program:", "mnp render policies --output json"),
    ),
)
@paths_argument(required=False)
@click.option(
    "--pod", "pods", metavar="POD", multiple=True, help="NAMESPACE/POD; may be repeated. [default: all that have rules]"
)
@source_options
@output_option
@settings_options
@click.pass_context
@paths_or_cluster
def render_command(
    context: click.Context,
    *,
    origin: Source,
    pods: tuple[str, ...],
    output: Output,
    settings: Settings,
) -> None:
    """Print what would be applied in the network namespace of each pod, to the letter.

    Custom rules are tried as at the start of a node, where this machine lets them be tried.
    """
    registry = registry_of(context, settings)
    renderer = choose_renderer(registry, settings.backends.node, settings.common.features)
    if untried := try_custom_rules(registry, settings.backends.node, settings.common):
        remark(f"Warning: the custom rules stand here as they are in their files, untried: {untried}")
    objects = origin.read(registry, settings)
    chosen = [objects.host(parse_object_name(pod, origin.home)).pod for pod in pods] or sorted(
        objects.cluster.attached_pods()
    )
    policies = {pod: objects.cluster.sandbox_policy(pod) for pod in chosen}
    rendered = [_Rendered(pod, renderer.render(policy)) for pod, policy in policies.items() if policy is not None]
    if output is Output.JSON:
        print_json(
            {"rulesets": [r.as_json() for r in rendered], "reports": [report.as_json() for report in objects.reports()]}
        )
        return
    remark_reports(objects.reports())
    _print(rendered)
    _remark_missing(objects, [pod for pod, policy in policies.items() if policy is None])


def _print(rendered: list[_Rendered]) -> None:
    for one in rendered:
        click.echo(f"# pod {one.pod}, {one.ruleset.dialect}")
        click.echo(one.ruleset.text.rstrip("\n") + "\n")


def _remark_missing(objects: Objects, without: list[ObjectName]) -> None:
    for pod in without:
        remark(f"Pod {pod} has no attachment that is enforced: nothing is applied in it.")
    if not objects.pods:
        remark("The manifests hold no pods: there is nothing to apply anything in.")
