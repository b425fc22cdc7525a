"""Compiles the CNI plugin: a build hook for wheels, and a script for checkouts: `python hatch_build.py FOLDER`.

With the distribution `ziglang`, for every machine of `MACHINES`; the same sources give the same bytes. Without it, by
the system's C compiler, for this machine alone.
"""

import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MACHINES = ("x86_64", "aarch64")
SOURCES = ("json.c", "config.c", "call.c", "agent.c", "main.c")
FLAGS = ("-std=c11", "-Os", "-Wall", "-Wextra", "-static", "-s", "-Wl,--build-id=none")
ZIG = "ziglang>=0.16,<0.17"
REMEDY = f"pip install '{ZIG}' (with pip: --no-build-isolation), or a C compiler that links statically"


def executable(machine: str) -> str:
    """The name of a machine's executable."""
    return f"mnp-cnigate-{machine}"


def compile_all(sources: Path, target: Path) -> list[Path]:
    """Compile for every machine that this one can compile for."""
    if find_spec("ziglang"):
        zig = (sys.executable, "-m", "ziglang", "cc", "-target")
        return [compile_one(sources, target, (*zig, f"{machine}-linux-musl"), machine) for machine in MACHINES]
    return [compile_one(sources, target, (system_compiler() or "cc",), platform.machine())]


def compile_one(sources: Path, target: Path, compiler: tuple[str, ...], machine: str) -> Path:
    """Compile for one machine."""
    made = target.absolute() / executable(machine)
    subprocess.run([*compiler, *FLAGS, "-o", made, *SOURCES], cwd=sources, check=True)  # noqa: S603 - named above
    return made


def system_compiler() -> str | None:
    """The path of the C compiler: the variable CC, or cc."""
    return shutil.which(os.environ.get("CC") or "cc")


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's own, without parameters in its documentation
    """Adds the executables to wheels. Editable installs go without: there they are made by `make cnigate`."""

    def dependencies(self) -> list[str]:
        """Require the large compiler only where there is no other."""
        return [] if system_compiler() else [ZIG]

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Compile."""
        if version == "editable":
            return
        self._folder = Path(mkdtemp(prefix="mnp-cnigate-"))
        try:
            made = compile_all(Path(self.root, "c"), self._folder)
        except (OSError, subprocess.CalledProcessError) as error:
            sys.exit(f"mnp-cnigate: the CNI plugin cannot be compiled: {error}. Remedy: {REMEDY}")
        if len(made) < len(MACHINES):
            self.app.display_warning(f"mnp-cnigate: without ziglang the wheel is for {platform.machine()} nodes only")
        build_data["force_include"] = {str(path): f"mnp_cnigate/bin/{path.name}" for path in made}

    def finalize(self, version: str, build_data: dict[str, object], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove the compiled executables."""
        if version != "editable":
            shutil.rmtree(self._folder)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path in compile_all(Path(__file__).parent / "c", folder):
        sys.stdout.write(f"{path}\n")
