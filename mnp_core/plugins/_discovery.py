"""Which plugins are installed: entry points of the group ``mnp`` and the metadata of their distributions.

Nothing of a plugin is imported here, so that one made for another core can be recognised before it does harm.
"""

import logging
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distribution, distributions
from typing import TYPE_CHECKING

from mnp_core import __version__
from mnp_core.classes import frozen
from mnp_core.plugins._descriptors import NAME
from mnp_core.plugins._faults import InvalidPluginError, guarded

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

GROUP = "mnp"
CORE = "mnp-core"

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) *((?:[<>=!~]=?=? *[A-Za-z0-9.*+-]+ *,? *)*)", re.ASCII)
"""A requirement without extras, marker and URL: name and versions."""

_BOUND = re.compile(r"(>=|<) *([0-9]+(?:\.[0-9]+)*)", re.ASCII)
"""A limit of versions that compares like numbers."""

_OPTIONAL = re.compile(r"[^;]*; extra == '[A-Za-z0-9._-]+'", re.ASCII)
"""A requirement of an extra, which does not apply here."""

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@frozen(kw_only=True)
class Plugin:
    """One entry point of one distribution.

    Attributes:
        name: Of the entry point.
        module: That it names; empty if the metadata cannot be understood.
        distribution: Its normalised name.
        version: Of the distribution.
        requires: Requirements of the distribution, as it states them.
        fault: A problem of its metadata, or empty.
    """

    name: str
    module: str = ""
    distribution: str
    version: str
    requires: tuple[str, ...] = ()
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


def find_plugins() -> Iterator[Plugin]:
    """Find every installed plugin, sorted by distribution.

    A distribution that lies on `sys.path` twice counts once: the first one, whose modules an import finds too.
    """
    for name in sorted({name for found in distributions() if (name := _candidate(found))}):
        yield from _plugins_of(name, distribution(name))


def canonicalize_name(name: str) -> str:
    """The normalised form of a distribution's name: packaging.python.org, "Names and normalization".

    `packaging.utils` has it too, and imports all that wheels need.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _candidate(found: Distribution) -> str:
    """Its name, if it mentions our group; empty if not, or if it cannot be read (then pip does not know it either)."""
    try:
        if f"[{GROUP}]" in (found.read_text("entry_points.txt") or ""):
            return canonicalize_name(found.metadata["Name"])
    except Exception:  # noqa: BLE001 - damaged metadata raises almost anything, and need not be a plugin's at all
        _log.warning("the metadata of an installed distribution cannot be read: %r", found, exc_info=True)
    return ""


def _plugins_of(name: str, found: Distribution) -> Iterator[Plugin]:
    version = ""
    try:
        with guarded("its metadata cannot be read"):
            metadata = found.metadata  # parsed at each access
            version = str(metadata["Version"])
            requires = tuple(metadata.get_all("Requires-Dist") or found.requires or ())
            entries = sorted(found.entry_points.select(group=GROUP))
    except InvalidPluginError as error:
        yield Plugin(name=name, distribution=name, version=version, fault=str(error))
        return
    for entry in entries:
        yield Plugin(
            name=entry.name,
            module=entry.value,
            distribution=name,
            version=version,
            requires=requires,
            fault=_entry_fault(entry),
        )


def _entry_fault(entry: EntryPoint) -> str:
    if not NAME.fullmatch(entry.name):
        return f"the entry point's name {entry.name!r} must be lower case letters, digits and hyphens"
    if not _MODULE.fullmatch(entry.value):
        return f"the entry point {entry.name} = {entry.value!r} must name a module, without an attribute"
    return ""


def incompatibility(plugin: Plugin) -> str:
    """Why the plugin does not fit the running core, and the version to install; empty if it does.

    Raises:
        InvalidPluginError: A requirement cannot be understood.
    """
    with guarded("a requirement in its metadata cannot be understood"):
        wanted = [specifier for line in plugin.requires if (specifier := _core_versions(line)) is not None]
    for specifier in wanted:
        if not specifier.contains(__version__, prereleases=True):
            return (
                f"it requires {CORE}{specifier}, but {CORE} {__version__} is running: "
                f"pip install --upgrade {plugin.distribution}, or pip install '{CORE}{specifier}'"
            )
    return ""


def _core_versions(line: str) -> "SpecifierSet | None":
    """The versions of the core that a requirement allows; None if it is about something else, or plainly met."""
    if _OPTIONAL.fullmatch(line):
        return None
    plain = _PLAIN.fullmatch(line)
    if plain is not None and (canonicalize_name(plain[1]) != CORE or _is_within(plain[2])):
        return None  # nearly all: packaging takes longer to import than most commands take to run
    from packaging.requirements import Requirement  # noqa: PLC0415 # see above

    requirement = Requirement(line)
    applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    return requirement.specifier if canonicalize_name(requirement.name) == CORE and applies else None


def _is_within(versions: str) -> bool:
    """Whether the running core, a release, is within limits such as ``>=0.1,<0.2``; False if more is to be known."""
    limits = [_BOUND.fullmatch(limit.strip()) for limit in versions.split(",")]
    running = _numbers(__version__)
    return bool(running) and all(
        limit is not None and ((running < _numbers(limit[2])) == (limit[1] == "<")) for limit in limits
    )


def _numbers(version: str) -> tuple[int, ...]:
    """A release as numbers, without zeros at its end; empty if it is more than that."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", version, re.ASCII):
        return ()
    return tuple(map(int, re.sub(r"(\.0+)+$", "", version).split(".")))
