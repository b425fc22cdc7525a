"""Definitions of policy kinds: which of them the cluster has."""

from pathlib import Path

import yaml

from scripts.testbed import place
from tests.cluster.objects import Objects

OURS = place.CHECKOUT / "deploy/scheme.yml"
MACVLAN = place.CHECKOUT / "deploy/macvlan-networkpolicies.yml"
PUBLIC = Path(__file__).parent / "data/multi-networkpolicies-v1beta1.yml"
_KIND = "apiextensions.k8s.io/v1/CustomResourceDefinition"


def define(objects: Objects, file: Path) -> None:
    """Apply a definition, and wait until its objects can be created."""
    wanted = yaml.safe_load(file.read_text())
    objects.apply(wanted)
    group = f"/apis/{wanted['spec']['group']}"
    plural = wanted["spec"]["names"]["plural"]
    paths = [f"{group}/{version['name']}/{plural}" for version in wanted["spec"]["versions"]]
    objects.wait_for(f"{paths} are served", lambda: [objects.request("GET", path) for path in paths])


def undefine(objects: Objects, *files: Path) -> None:
    """Delete definitions, and with each all of its objects."""
    for file in files:
        objects.delete(_KIND, yaml.safe_load(file.read_text())["metadata"]["name"])


def undefine_all(objects: Objects) -> None:
    """The cluster has no policies, and could have none."""
    undefine(objects, OURS, MACVLAN)
