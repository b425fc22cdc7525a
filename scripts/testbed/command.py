"""Runs programs; their output is shown only on failure."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from scripts.testbed.errors import TestBedError


def run(
    *command: object,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience: float = 120,
) -> bytes:
    """Run a program to its end and return its standard output.

    Raises:
        TestBedError: It failed, is not there, or took longer than `patience` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, env=env, cwd=cwd, capture_output=True, timeout=patience, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TestBedError(f"{' '.join(words)}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise TestBedError(f"{' '.join(words)}: exit status {done.returncode}: {said[-2000:]}")
    return done.stdout


def attempt(*command: object) -> None:
    """Run a removal that may fail because its target is gone already."""
    subprocess.run([str(word) for word in command], capture_output=True, check=False)
