"""`mnp lab up`, `apply`, `delete` and `down`: a lab that stands between commands, changed step by step."""

import threading
from collections.abc import Collection
from pathlib import Path

import click

from mnp_core.cli.helping import examples
from mnp_core.cli.names import parse_ref
from mnp_core.cli.options import Choice, choice_options, namespace_option, registry_of
from mnp_core.cli.terminal import progress, remark, remark_reports
from mnp_core.errors import InputError, MnpError
from mnp_core.model import ObjectRef
from mnp_core.offline.admission import ref_of
from mnp_lab.cli.arguments import enforce_option, manifests_argument, read_documents
from mnp_lab.cli.enforcement import (
    DEFAULT_NAME,
    backend_of,
    make_enforcement,
    name_option,
    not_enforced,
    open_lab,
    remembered_settings,
)
from mnp_lab.cli.output import tell_unenforced
from mnp_lab.expectations import KIND
from mnp_lab.lab import ApplyResult, Lab


@click.command(
    "up",
    short_help="Build a lab that stays.",
    epilog=examples(
        ("A lab of its own name:", "mnp lab up policies --name mine"),
        ("Without policies, as a control:", "mnp lab up policies --no-enforce"),
    ),
)
@manifests_argument
@name_option
@namespace_option
@click.option("--watch", is_flag=True, help="Follow changes of the manifests until Ctrl-C; the lab stays up.")
@enforce_option
@choice_options
@click.pass_context
def up_command(
    context: click.Context,
    paths: tuple[Path, ...],
    name: str,
    namespace: str | None,
    watch: bool,  # noqa: FBT001 - click hands flags over by name
    enforce: bool,  # noqa: FBT001 - likewise
    choice: Choice,
) -> int:
    """Build a lab that stays up, and enforce its policies.

    Ends with 1 if that could not be done in some pod, which stays disconnected then.
    """
    documents = read_documents(paths, namespace)
    settings = choice.settings()
    registry = registry_of(context, settings)
    enforcement = make_enforcement(registry, settings) if enforce else None
    options = choice.as_texts() | (backend_of(registry, settings) if enforce else not_enforced())
    with progress() as step:
        lab = Lab.up(name, documents, enforcement=enforcement, options=options, progress=step)
    with lab:
        for notice in lab.plan.notices:
            remark(f"Notice: {notice}")
        remark_reports(lab.last_sync.reports if lab.last_sync else ())
        status = tell_unenforced(lab)
        click.echo(f"Lab {name} is up: {_pods(len(lab.plan.pods))}. Take it down with: {_again('down', name)}")
        if watch:
            _follow(lab, paths, namespace)
    return status


@click.command(
    "apply",
    short_help="Create or change objects.",
    epilog=examples(
        ("After editing a policy:", "mnp lab apply policies/policy.yaml"),
    ),
)
@manifests_argument
@name_option
@namespace_option
@click.pass_context
def apply_command(context: click.Context, paths: tuple[Path, ...], name: str, namespace: str | None) -> int:
    """Create or change the objects of manifests in a lab that is up, as `kubectl apply` would.

    Ends with 1 if policies could not be enforced in some pod.
    """
    documents = read_documents(paths, namespace)
    with progress() as step, open_lab(name, registry_of(context, remembered_settings(name)), step) as lab:
        applied = lab.apply(documents)
    _tell(applied)
    return tell_unenforced(lab)


@click.command(
    "delete",
    short_help="Delete objects.",
    epilog=examples(
        ("One pod:", "mnp lab delete Pod/demo/stranger"),
        ("All objects of a file:", "mnp lab delete -f policies/policy.yaml"),
    ),
)
@click.argument("objects", nargs=-1, metavar="[KIND/NAMESPACE/NAME]...")
@click.option("--file", "-f", "paths", multiple=True, type=click.Path(path_type=Path), help="All objects of manifests.")
@name_option
@namespace_option
@click.pass_context
def delete_command(
    context: click.Context, objects: tuple[str, ...], paths: tuple[Path, ...], name: str, namespace: str | None
) -> int:
    """Delete objects from a lab that is up: pods, policies, networks, namespaces with all that is in them."""
    if not objects and not paths:
        raise click.UsageError("nothing to delete: name objects, such as pod/shop/web, or a file with --file")
    for text in objects:
        parse_ref(text, home=namespace)  # before the lab is opened
    registry = registry_of(context, remembered_settings(name))
    listed = [ref_of(document) for document in read_documents(paths, namespace)]
    with progress() as step, open_lab(name, registry, step) as lab:
        kinds = {*(spec.kind for spec in registry.policy_kinds.values()), KIND, *(ref.kind for ref in lab.objects)}
        applied = lab.delete([*(_ref(text, kinds, namespace) for text in objects), *listed])
    _tell(applied)
    return tell_unenforced(lab)


@click.command(
    "down",
    short_help="Take a lab down.",
    epilog=examples(
        ("This lab, or all of them:", "mnp lab down --name mine"),
        ("", "mnp lab down --all"),
    ),
)
@name_option
@click.option("--all", "everything", is_flag=True, help="All labs, and leftovers of crashed ones.")
def down_command(name: str, everything: bool) -> None:  # noqa: FBT001 - click hands flags over by name
    """Take a lab down and remove everything that it made, also what a crashed one left behind."""
    gone = Lab.down_all() if everything else Lab.down_named(name)
    for each in gone:
        click.echo(f"Lab {each} is down.")
    if not gone:
        click.echo("No lab was up.")


def _ref(text: str, kinds: Collection[str], namespace: str | None) -> ObjectRef:
    try:
        return parse_ref(text, kinds, namespace)
    except InputError as error:
        raise click.UsageError(str(error)) from error


def _follow(lab: Lab, paths: tuple[Path, ...], namespace: str | None) -> None:
    """Print the result of each change of the manifests; a broken manifest leaves the lab as it is."""
    remark("Watching the manifests; Ctrl-C ends that, and leaves the lab up.")
    stop = threading.Event()
    try:
        for change in lab.watch(paths, stop, namespace):
            if isinstance(change, MnpError):
                remark(f"Error: {change}")
            else:
                _tell(change)
    except KeyboardInterrupt:
        stop.set()


def _tell(applied: ApplyResult) -> None:
    for notice in applied.notices:
        remark(f"Notice: {notice}")
    click.echo(str(applied))
    remark_reports(applied.sync.reports if applied.sync else ())


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _again(command: str, name: str) -> str:
    return f"mnp lab {command}" + ("" if name == DEFAULT_NAME else f" --name {name}")
