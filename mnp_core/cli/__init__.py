"""The command line: `mnp`.

It turns words into calls of the layers below and answers into words, and decides nothing itself. Results go to
standard output, everything else (notices, progress, errors) to standard error. Exit status: 0 it was done, 1 it was
done and the answer is bad (a failed expectation, a problem in an object), 2 it could not be done, 130 interrupted.
"""

import sys
from collections.abc import Sequence

from mnp_core.cli.app import make_app
from mnp_core.cli.entrypoint import run_command
from mnp_core.plugins import load_plugins


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `mnp` and exit.

    Args:
        arguments: Without the program's name; those of the process if not given.
    """
    sys.exit(run_command(lambda: make_app(load_plugins()), arguments, is_whole_process=True))
