"""Files in folders that hold no Kubernetes objects by themselves.

Repositories have more YAML than manifests: Helm's charts, values and templates, patches of kustomize, the settings of
other programs. A file that is named is never left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mnp_core.errors import InputError
from mnp_core.sources.textfile import read_text
from mnp_core.sources.yamltext import decode_yaml

_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml"})
_CHARTS = frozenset({"chart.yaml", "chart.lock", "values.schema.json"})
_VALUES = re.compile(r"values([._-].*)?\.ya?ml|.*[._-]values\.ya?ml", re.IGNORECASE)
_ACTION = "{{"
_OBJECT = re.compile(r"""^\s*(- )?["']?(apiVersion|kind)["']?\s*:""", re.MULTILINE)


def is_never_manifest(file: Path) -> bool:
    """Whether its name says that it is a part of a Helm chart, and no template."""
    return file.name.lower() in _CHARTS or bool(_VALUES.fullmatch(file.name))


def is_template(file: Path, text: str) -> bool:
    """Whether it is a template of a Helm chart, which may be good YAML and still no object."""
    return _ACTION in text and any(
        parent.name == "templates" and (parent.parent / "Chart.yaml").is_file() for parent in file.parents
    )


def is_foreign(text: str) -> bool:
    """Whether a text that is no YAML of Kubernetes was not meant as such: a template, or no object at all."""
    return _ACTION in text or not _OBJECT.search(text)


def patch_files(files: Iterable[Path]) -> frozenset[Path]:
    """The patches that the kustomizations among some files name: parts of objects, whose rest is elsewhere."""
    return frozenset(
        patch
        for file in files
        if file.name.lower() in _KUSTOMIZATIONS
        for name in _patches(file)
        for patch in [_normal(file.parent / name)]
    )


def _normal(path: Path) -> Path:
    """The path as a walk through a folder gives it: without ``..``."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts and parts[-1] not in ("..", "/"):
            parts.pop()
        else:
            parts.append(part)
    return Path(*parts)


def _patches(file: Path) -> Iterator[str]:
    try:
        documents = [document.value for document in decode_yaml(read_text(file), str(file))]
    except InputError:  # it is reported where it is read
        return
    for document in documents:
        if isinstance(document, Mapping):
            for key in ("patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "configurations"):
                yield from _names(document.get(key))


def _names(entries: object) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("path") if isinstance(entry, Mapping) else entry
        if isinstance(name, str) and "\n" not in name and len(name) < 4096:
            yield name
