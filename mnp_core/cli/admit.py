"""`mnp admit`: a validating admission webhook for policies."""

import os
from importlib.util import find_spec

import click

from mnp_core.cli.helping import examples
from mnp_core.cli.options import registry_of, settings_file_option
from mnp_core.cli.rules import rules_option
from mnp_core.errors import UnsupportedError
from mnp_core.policy.lint import Rule
from mnp_core.settings import LogFormat, LogLevel, Settings


@click.command(
    "admit",
    short_help="Judge policies when they are applied to the cluster.",
    epilog=examples(
        (
            "From outside of the cluster, for a ValidatingWebhookConfiguration with the URL of this machine:",
            "mnp admit --kubeconfig $HOME/.kube/config --host 192.0.2.7",
        ),
        ("Warn of networks that do not exist, and refuse nothing for it:", "mnp admit --warn UnknownNetwork"),
    ),
)
@click.option("--kubeconfig", metavar="FILE", default="", help="How to reach the API server. [default: the pod's own]")
@click.option("--master", metavar="URL", default="", help="The API server, instead of the kubeconfig's.")
@click.option(
    "--name",
    metavar="NAME",
    default="mnp-admit",
    show_default=True,
    help="Of the Service, the Secret and the ValidatingWebhookConfiguration.",
)
@click.option(
    "--secret-namespace",
    metavar="NAME",
    default="",
    help="Where the Service and the Secret are. [default: POD_NAMESPACE, or kube-system]",
)
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="Another name or address in the certificate.")
@click.option(
    "--listen", metavar="ADDRESS:PORT", default=":9443", show_default=True, help="Where API servers send reviews."
)
@click.option("--health", metavar="ADDRESS:PORT", default="", help="Address of /healthz, /readyz and /metrics.")
@rules_option("--refuse", "refused", "Errors of these rules refuse a policy, too: names or ids, with commas.")
@rules_option("--warn", "warned", "Errors of these rules do not refuse a policy; likewise.")
@settings_file_option
@click.option("--log-format", type=click.Choice([each.value for each in LogFormat]), default="text", show_default=True)
@click.option("--log-level", type=click.Choice([each.value for each in LogLevel]), default="info", show_default=True)
@click.pass_context
def admit_command(  # noqa: PLR0913 - its options
    context: click.Context,
    *,
    kubeconfig: str,
    master: str,
    name: str,
    secret_namespace: str,
    hosts: tuple[str, ...],
    listen: str,
    health: str,
    refused: frozenset[Rule],
    warned: frozenset[Rule],
    settings: Settings,
    log_format: str,
    log_level: str,
) -> None:
    """Serve a validating admission webhook that judges each MultiNetworkPolicy with the other objects of the cluster.

    Errors of the policy itself and networks that do not exist refuse it; other findings of `mnp validate` become
    warnings, which kubectl prints. A policy that cannot be checked is accepted with a warning. The serving certificate
    is kept in a Secret and renewed. Runs until SIGTERM.
    """
    if find_spec("cryptography") is None:
        raise UnsupportedError("certificates cannot be made without cryptography: pip install 'mnp-core[admission]'")
    from mnp_core.admission.judge import REFUSED  # noqa: PLC0415 - `--help` needs no client
    from mnp_core.admission.program import AdmitOptions, run_webhook  # noqa: PLC0415 - likewise
    from mnp_core.telemetry.logs import configure_logging  # noqa: PLC0415 - likewise

    configure_logging(LogFormat(log_format), LogLevel(log_level))
    options = AdmitOptions(
        kubeconfig=kubeconfig,
        master=master,
        namespace=secret_namespace or os.environ.get("POD_NAMESPACE") or "kube-system",
        name=name,
        hosts=hosts,
        listen=listen,
        health=health,
        refuse=(REFUSED | refused) - warned,
    )
    run_webhook(options, settings, registry_of(context, settings))
