"""The API that plugins are written against, as text: no change of it goes unnoticed.

After such a change write the text anew, and a changelog fragment for plugin authors:

    MNP_UPDATE_GOLDEN=1 python -m pytest tests/plugins/test_api_surface.py
"""

import ast
import importlib
import inspect
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, UnionType

import pytest

import mnp_core
from mnp_core import api, discovery, errors, hookspecs, model, netfilter, testing
from tests.docs.fences import DOCS

GOLDEN = Path(__file__).parents[1] / "golden"


def names_of(module: ModuleType) -> list[str]:
    """The public names of a module: `__all__`, else its own definitions."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    )


def surface(module: ModuleType) -> Iterator[str]:
    """One line for each name, and one for each field and method of a class, as they are written in the source."""
    yield f"# {module.__name__}"
    for name in names_of(module):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            [node] = ast.parse(inspect.getsource(value)).body
            yield from lines_of(node)
        else:
            yield f"{name} = {value}" if isinstance(value, UnionType) else name
    yield ""


def lines_of(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef():
            decorators = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
            returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            yield f"{decorators}def {node.name}({ast.unparse(node.args)}){returns}"
        case ast.ClassDef():
            bases = ", ".join(map(ast.unparse, node.bases))
            decorators = "".join(f"@{ast.unparse(decorator)} " for decorator in node.decorator_list)
            yield f"{decorators}class {node.name}({bases})"
            members = [line for child in node.body for line in lines_of(child)]
            yield from (f"    {line}" for line in members if not re.search(r"^(?:@\S+ )*(?:def )?_", line))
        case ast.AnnAssign() | ast.Assign():
            yield ast.unparse(node)


def modules_of(package: ModuleType) -> list[str]:
    return sorted(f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__))


KIT = modules_of(testing)
SURFACES = {
    "api.txt": [mnp_core, hookspecs, api, discovery, model, errors],
    "kit.txt": [importlib.import_module(name) for name in KIT],
    "netfilter.txt": [importlib.import_module(name) for name in modules_of(netfilter)],
}


@pytest.mark.parametrize("golden", SURFACES)
def test_api_is_as_it_was_agreed(golden):
    now = "\n".join(line for module in SURFACES[golden] for line in surface(module))
    if os.environ.get("MNP_UPDATE_GOLDEN"):
        (GOLDEN / golden).write_text(now)
    assert now == (GOLDEN / golden).read_text(), "the plugin API has changed: the head of this file says what to do"


def test_the_reference_has_every_module_of_the_kit():
    page = (DOCS / "reference" / "testing.md").read_text()
    assert sorted(re.findall(r"^::: (\S+)$", page, re.MULTILINE)) == KIT
