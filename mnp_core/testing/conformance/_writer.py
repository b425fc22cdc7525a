"""A program of the survival tests: writes rules until it is killed.

Its argument is a descriptor of the network namespace. Standard input names the conformance class and its policies to
bring into force in turn, as JSON; standard output gets a line before each, and after the last one.
"""

import json
import signal
import sys
from typing import Any

from mnp_core.api import Sandbox
from mnp_core.sandbox.netns import run_inside
from mnp_core.testing.conformance._fresh import find_class
from mnp_core.testing.conformance.survival import LIFE


def main() -> None:
    """Write, say so, go on."""
    about = json.loads(sys.stdin.readline())
    sys.path[:] = about["path"]
    tests: Any = find_class(about)()
    device, inode = about["sandbox"]
    sandbox = Sandbox(path=f"/proc/self/fd/{sys.argv[1]}", device=device, inode=inode)
    applier, renderer = tests.make_applier(), tests.make_renderer()
    work = [(name, renderer.render(LIFE[name])) for name in about["policies"]]
    while True:
        for name, ruleset in work:
            if len(work) > 1:
                print(name, flush=True)  # noqa: T201 # how the tests hear of it
            run_inside(sandbox, lambda ruleset=ruleset: applier.apply(ruleset))  # type: ignore[misc] # binds it now
            if len(work) == 1:
                print(name, flush=True)  # noqa: T201 # as above
                signal.pause()


if __name__ == "__main__":
    main()
