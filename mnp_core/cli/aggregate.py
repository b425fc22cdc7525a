"""`mnp aggregate`: the status of policies, from the summaries of nodes."""

import os

import click

from mnp_core.cli.helping import examples
from mnp_core.cli.options import Number, Seconds
from mnp_core.settings import LogFormat, LogLevel


@click.command(
    "aggregate",
    short_help="Write the status of policies in the cluster.",
    epilog=examples(
        ("From outside of the cluster:", "mnp aggregate --kubeconfig $HOME/.kube/config"),
        (
            "In a large cluster, where each status is news for thousands of nodes:",
            "mnp aggregate --writes-per-second 2",
        ),
    ),
)
@click.option("--kubeconfig", metavar="FILE", default="", help="How to reach the API server. [default: the pod's own]")
@click.option("--master", metavar="URL", default="", help="The API server, instead of the kubeconfig's.")
@click.option(
    "--lease-namespace", metavar="NAME", default="", help="Where the Lease is. [default: POD_NAMESPACE, or kube-system]"
)
@click.option("--lease", metavar="NAME", default="mnp-aggregate", show_default=True, help="Name of the Lease.")
@click.option("--listen", metavar="ADDRESS:PORT", default="", help="Address of /healthz, /readyz and /metrics.")
@click.option(
    "--writes-per-second",
    type=Number(0.1, 200.0),
    metavar="NUMBER",
    default=5.0,
    show_default=True,
    help="Statuses written at most; each is news for every node.",
)
@click.option(
    "--settle-seconds",
    type=Seconds(0.0, 3600.0),
    metavar="NUMBER",
    default=60.0,
    show_default=True,
    help="How long nodes that lag behind are waited for after the start.",
)
@click.option("--log-format", type=click.Choice([each.value for each in LogFormat]), default="text", show_default=True)
@click.option("--log-level", type=click.Choice([each.value for each in LogLevel]), default="info", show_default=True)
def aggregate_command(  # noqa: PLR0913 - its options
    *,
    kubeconfig: str,
    master: str,
    lease_namespace: str,
    lease: str,
    listen: str,
    writes_per_second: float,
    settle_seconds: float,
    log_format: str,
    log_level: str,
) -> None:
    """Write the status of each MultiNetworkPolicy: conditions, counts of nodes and interfaces, problems.

    Reads the summaries that nodes publish (setting publish-status), and runs until it is told to stop. Several may
    run: the one that holds the Lease writes.
    """
    from mnp_core.aggregate.program import AggregateOptions, run_aggregator  # noqa: PLC0415 - `--help` needs no client
    from mnp_core.telemetry.logs import configure_logging  # noqa: PLC0415 - likewise

    configure_logging(LogFormat(log_format), LogLevel(log_level))
    run_aggregator(
        AggregateOptions(
            kubeconfig=kubeconfig,
            master=master,
            namespace=lease_namespace or os.environ.get("POD_NAMESPACE") or "kube-system",
            lease=lease,
            listen=listen,
            rate=writes_per_second,
            settle_seconds=settle_seconds,
        )
    )
