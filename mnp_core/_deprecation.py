"""How something public goes: first it warns for at least one minor version, then it is taken away.

The warning names what to write instead and the version that will no longer have it, and points at the line that has to
be changed. It is a `DeprecationWarning`: silent for whoever runs the program, seen by whoever tests a plugin.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

from attrs import frozen

_P = ParamSpec("_P")
_R = TypeVar("_R")


@frozen(kw_only=True)
class Deprecation:
    """A name, or an argument, that will go.

    Attributes:
        name: What it is called in full, for example ``mnp_core.api.Support.score`` or ``argument kinds of compare``.
        since: The version that warned first, for example ``0.2``.
        gone_in: The version that will not have it.
        instead: What to do, a sentence without its full stop, for example ``use rank``.
    """

    name: str
    since: str
    gone_in: str
    instead: str

    def __str__(self) -> str:
        return f"{self.name} is deprecated since {self.since} and will be gone in {self.gone_in}: {self.instead}"

    def warn(self, *, levels: int = 1) -> None:
        """Warn about the line that uses it.

        Args:
            levels: How many calls lie between that line and the caller of this method: 1 for a function that warns
                about itself.
        """
        warnings.warn(str(self), DeprecationWarning, stacklevel=levels + 2)


def deprecated(deprecation: Deprecation) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Mark a function or method as one that will go; it still works."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(function)
        def warning(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            deprecation.warn()
            return function(*args, **kwargs)

        return warning

    return decorate


def deprecated_names(module: str, names: Mapping[str, tuple[object, Deprecation]]) -> Callable[[str], object]:
    """Keep old names of a module working, as its ``__getattr__`` (PEP 562).

    Args:
        module: Its ``__name__``.
        names: Old name to what it stands for, and what to say.
    """

    def get(name: str) -> object:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        value, deprecation = names[name]
        deprecation.warn()
        return value

    return get
