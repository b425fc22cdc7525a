"""Programs in C that measure."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.bench.measurement import Unavailable


def compiled(source: Path, folder: Path) -> Path:
    """The program of a source file, in a folder; raises Unavailable."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unavailable("no C compiler: apt-get install gcc")
    program = folder / source.stem
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)  # noqa: S603 # our own source
    return program
