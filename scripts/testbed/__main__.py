"""Commands of the test bed, see ``python -m scripts.testbed --help``."""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.testbed import bed, daemon, images, kind, place
from scripts.testbed.errors import TestBedError


def main() -> int:
    """Run the command of the arguments; return the exit status."""
    arguments = _parse()
    if arguments.command in ("up", "down") and place.OWN_CLUSTER:
        _say(f"KUBECONFIG={place.OWN_CLUSTER} names a cluster of your own: nothing is started or ended")
        return 0
    if os.geteuid() != 0:
        _say("run this as root: it makes namespaces, links and control groups")
        return 1
    try:
        with _alone():
            return _COMMANDS[arguments.command](arguments)
    except TestBedError as error:
        _say(str(error))
        return 1


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock on changes of the bed, waiting for it."""
    place.CACHE.mkdir(parents=True, exist_ok=True)
    with (place.CACHE / "bed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.testbed", description="A real cluster of one node.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring up what is not up")
    commands.add_parser("down", help="end and remove everything")
    commands.add_parser("status", help="say what runs; exit status 3 unless all does")
    commands.add_parser("compact", help="make etcd forget all but its present revision")
    for name in ("start", "stop"):
        one = commands.add_parser(name, help=f"{name} one component")
        one.add_argument("component", choices=list(bed.COMPONENTS))
        if name == "stop":
            one.add_argument("--kill", action="store_true", help="without giving it time")
    multus = commands.add_parser("multus", help="say which Multus attaches the pods that start from now on")
    multus.add_argument("way", choices=["thin", "thick"])
    archive = commands.add_parser("import", help="give the node's runtime the image in an archive")
    archive.add_argument("archive", type=Path)
    archive.add_argument("--name", default="")
    return parser.parse_args()


def _up(_: argparse.Namespace) -> int:
    begun = time.monotonic()
    already = bed.is_up()
    bed.up()
    state = "was up" if already else f"up in {time.monotonic() - begun:.0f} s"
    _say(
        f"{kind.chosen().name}: {state}. export KUBECONFIG={place.KUBECONFIG}, then kubectl get nodes ({bed.kubectl()})"
    )
    return 0


def _down(_: argparse.Namespace) -> int:
    begun = time.monotonic()
    bed.down()
    _say(f"down in {time.monotonic() - begun:.0f} s")
    return 0


def _status(_: argparse.Namespace) -> int:
    for name in bed.COMPONENTS:
        pid = daemon.pid_of(name) if place.ROOT.exists() else None
        sys.stdout.write(f"{name:26}{f'runs, pid {pid}' if pid else 'does not run'}\n")
    return 0 if bed.is_up() else 3


def _start(arguments: argparse.Namespace) -> int:
    bed.start(arguments.component)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    bed.stop(arguments.component, by=signal.SIGKILL if arguments.kill else signal.SIGTERM)
    return 0


def _compact(_: argparse.Namespace) -> int:
    sys.stdout.write(f"{bed.compact()}\n")
    return 0


def _multus(arguments: argparse.Namespace) -> int:
    bed.choose_multus(thick=arguments.way == "thick")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    images.import_archive(arguments.archive, name=arguments.name)
    return 0


_COMMANDS = {
    "up": _up,
    "down": _down,
    "status": _status,
    "start": _start,
    "stop": _stop,
    "compact": _compact,
    "multus": _multus,
    "import": _import,
}


def _say(text: str) -> None:
    sys.stderr.write(f"testbed: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
