"""A stand-in for kubectl on PATH: a shell script, with a file for each agent that says how it answers."""

import json
import os
from pathlib import Path

import pytest
from attrs import define

from mnp_core.cli.entrypoint import run_command
from mnp_core.cli.fleet.app import make_app
from tests.cli.fixtures import Ended

SCRIPT = """#!/bin/sh
printf '%s\\n' "$*" >> "{folder}/calls"
verb=
for word; do
    case $word in --*=*) continue;; esac
    verb=$word; break
done
if [ "$verb" = get ]; then . "{folder}/get"; exit; fi
previous=
for word; do
    [ "$word" = -- ] && break
    previous=$word
done
. "{folder}/exec-$previous"
"""


def status(node, pods=(), **about):
    """An answer of `mnp status -o json`."""
    known = {"name": node, "ready": True, "readiness": "", "backend": "nftables", "version": "0.1.0", "pods": len(pods)}
    known |= {"enforced": len(pods), "policies": 1, "groups": 0, "members": 0, "problems": 0}
    known |= {"started-at": "2026-01-31T12:00:00.000Z", "time": "2026-01-31T12:03:00.000Z"}
    return {"node": known | about, "pods": list(pods)}


def pod(name, namespace="shop", **about):
    """A pod of it."""
    isolated = {"isolated": True, "policies": ["MultiNetworkPolicy shop/close"]}
    interface = {"interface": "net1", "network": "shop/data", "ingress": isolated, "egress": {"isolated": False}}
    known = {"namespace": namespace, "name": name, "condition": "InForce", "interfaces": [interface], "problems": []}
    return known | about


@define
class StandIn:
    """The stand-in's folder.

    Attributes:
        folder: Its files.
        agents: Lines of `get pods`.
    """

    folder: Path
    agents: list[str]

    def agent(self, node, script=None, *, answer=None, phase="Running", deleted=""):
        """An agent on a node; `script` is shell, `answer` a value that is printed as JSON."""
        name = f"mnp-node-{len(self.agents)}"
        if answer is not None:
            (self.folder / f"answer-{name}").write_text(json.dumps(answer))
            script = f'cat "{self.folder}/answer-{name}"'
        if script is not None:
            (self.folder / f"exec-{name}").write_text(f"{script}\n")
        self.agents.append(f"{name}\t{node}\t{phase}\t{deleted}")
        (self.folder / "pods").write_text("".join(f"{line}\n" for line in self.agents))
        return name

    def get(self, script):
        """Shell that answers `kubectl get`."""
        (self.folder / "get").write_text(script)

    def calls(self):
        """The command lines so far."""
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    folder = tmp_path / "kubectl"
    folder.mkdir()
    program = folder / "kubectl"
    program.write_text(SCRIPT.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    stand_in = StandIn(folder, [])
    stand_in.get(f'cat "{folder}/pods"\n')
    (folder / "pods").write_text("")
    return stand_in


@pytest.fixture
def kubectl_mnp(registry, capfd, monkeypatch):
    """`kubectl_mnp("status")`, in this process."""
    monkeypatch.delenv("MNP_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments):
        capfd.readouterr()
        returned = run_command(lambda: make_app(registry), [str(argument) for argument in arguments], "kubectl mnp")
        return Ended(returned, *capfd.readouterr())

    return run
