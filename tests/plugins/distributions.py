"""Real distributions, as pip would have installed them."""

from pathlib import Path
from textwrap import dedent


def write_distribution(
    folder: Path,
    name: str,
    source: str,
    *,
    version: str = "1.0",
    requires: tuple[str, ...] = ("mnp-core>=0.1,<0.2",),
    entry_points: str | None = None,
) -> None:
    """Put a distribution and its one package into a folder; the entry point is called as the package is."""
    package = name.replace("-", "_")
    (folder / package).mkdir(parents=True, exist_ok=True)
    (folder / package / "__init__.py").write_text(dedent(source))
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir()
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    short = name.removeprefix("mnp-")
    (info / "entry_points.txt").write_text(f"[mnp]\n{short} = {package}\n" if entry_points is None else entry_points)
    files = [f"{package}/__init__.py,,", *(f"{info.name}/{file.name},," for file in info.iterdir())]
    (info / "RECORD").write_text("\n".join([*files, f"{info.name}/RECORD,,"]) + "\n")
