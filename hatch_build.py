"""Adds man pages to distributions: they are written from the commands' help by `mnp_core.cli.manpage`.

An sdist holds them, and a wheel that is built from it takes them from there. A wheel from a checkout has them where the
dependencies of the commands are installed; an isolated build goes without, and says so.

mnp-core and mnp-lab have a copy each, since an sdist has to build by itself: they differ in `COMMAND`.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMAND = ()
"""The command to describe; none means the core's own."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's own, without parameters in its documentation
    """Pages in `man` of an sdist, in `share/man/man1` of a wheel."""

    def initialize(self, version: str, build_data: dict[str, object]) -> None:
        """Write the pages, or take those of an sdist."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory(prefix="mnp-man-")
        kept = Path(self.root, "man")
        pages = sorted((kept if kept.is_dir() else self._written()).glob("*.1"))
        key, place = ("shared_data", "share/man/man1") if self.target_name == "wheel" else ("force_include", "man")
        build_data[key] = {str(page): f"{place}/{page.name}" for page in pages}

    def finalize(self, version: str, build_data: dict[str, object], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove them."""
        if version != "editable":
            self._folder.cleanup()

    def _written(self) -> Path:
        folder = Path(self._folder.name)
        command = [sys.executable, "-m", "mnp_core.cli.manpage", folder, *COMMAND]
        path = os.pathsep.join(filter(None, [self.root, os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": path}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - named above
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2]
            self.app.display_warning(
                f"{self.metadata.name}: without man pages, as the commands cannot be imported: {reason}"
            )
            return folder / "none"
        return folder
