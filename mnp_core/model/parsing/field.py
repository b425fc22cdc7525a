"""A value in a decoded object together with where it stands, so that every complaint about it can say so.

Values are user input: any type in any place, of any size and depth. A field is never
walked as a whole and never shown at length.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import TypeVar

from attrs import field

from mnp_core.classes import define
from mnp_core.model.names import ObjectRef
from mnp_core.model.report import Reason, Report, Severity

MOST_REPORTS = 50
"""Limit of listed problems of one object; further ones are counted."""

_Parsed = TypeVar("_Parsed")

_MAPPINGS = (dict, Mapping)  # in this order: to ask an abstract class takes ten times as long

_SHOWN = 56
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_./-]{1,120}")


def shown(value: object) -> str:
    """Any value for a message: printable, at most about 60 characters."""
    if isinstance(value, str):
        return _shown_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a huge number" if isinstance(value, int) and value.bit_length() > 64 else repr(value)
    if value is None:
        return "null"
    kinds = (Mapping, "a mapping"), (list, "a list")
    return next((name for kind, name in kinds if isinstance(value, kind)), "a value of another type")


def _shown_text(value: str) -> str:
    text = repr(value[:_SHOWN])  # escapes unprintable characters
    return text if len(text) <= _SHOWN + 2 and len(value) <= _SHOWN else f"{text[:_SHOWN]}…"


@define
class Findings:
    """The problems and hints that were found in one object so far."""

    about: ObjectRef
    _problems: dict[Report, None] = field(factory=dict, init=False)  # in their order
    _hints: dict[Report, None] = field(factory=dict, init=False)  # apart, so that hints never crowd out a problem
    _further: int = field(default=0, init=False)

    def add(self, path: str, reason: Reason, message: str, remedy: str, severity: Severity = Severity.PROBLEM) -> None:
        """Record a finding; hints beyond the limit are dropped, problems are counted."""
        listed = self._problems if severity is Severity.PROBLEM else self._hints
        found = Report(about=self.about, field=path, reason=reason, message=message, remedy=remedy, severity=severity)
        if found in listed:  # a field that is read twice
            return
        if len(listed) < MOST_REPORTS:
            listed[found] = None
        elif severity is Severity.PROBLEM:
            self._further += 1

    def reports(self) -> tuple[Report, ...]:
        """All of them in the order in which they were found, problems first."""
        if not self._further:
            return (*self._problems, *self._hints)
        further = Report(
            about=self.about,
            field="",
            reason=next(reversed(self._problems)).reason,
            message=f"{self._further} more problems are not listed",
            remedy="Fix the listed ones first",
        )
        return (*self._problems, further, *self._hints)


class Field:
    """One value of any type. Never changed.

    A pod has fifty of them and hardly ever a problem, so the path is made when somebody asks for it.

    Attributes:
        value: As it was decoded; None if it is null, or not there.
        findings: Where problems are taken down.
    """

    __slots__ = ("_key", "_parent", "findings", "value")

    def __init__(
        self, value: object, path: "str | int | tuple[object]", findings: Findings, parent: "Field | None" = None
    ) -> None:
        """Wrap a value.

        Args:
            value: The value.
            path: Its path; below a parent the name of a field, an index, or in a tuple a key that is data.
            findings: Where problems are taken down.
            parent: What it was found in.
        """
        self.value = value
        self.findings = findings
        self._key = path
        self._parent = parent

    @property
    def path(self) -> str:
        """As in ``spec.ingress[0].from``; empty for the whole object."""
        above, key = self._parent.path if self._parent is not None else "", self._key
        if isinstance(key, str):
            return f"{above}.{key}" if above else key
        return f"{above}[{_shown_key(*key) if isinstance(key, tuple) else key}]"

    def __str__(self) -> str:
        return shown(self.value)

    @property
    def is_missing(self) -> bool:
        """Whether it is not there; to the API null means the same."""
        return self.value is None

    @property
    def is_mapping(self) -> bool:
        """Whether it has fields."""
        return isinstance(self.value, _MAPPINGS)

    def child(self, key: str) -> "Field":
        """The value of a field of this mapping; of anything else all fields are missing."""
        whole = self.value
        if whole is None:  # most of what is optional is not there
            return Field(None, key, self.findings, self)
        return Field(whole.get(key) if isinstance(whole, _MAPPINGS) else None, key, self.findings, self)

    def entry(self, key: object) -> "Field":
        """The value under a key that is data, such as a label."""
        value = self.value.get(key) if isinstance(self.value, _MAPPINGS) else None
        return Field(value, (key,), self.findings, self)

    def decoded(self, value: object) -> "Field":
        """What the text of this field stands for, in its place."""
        return Field(value, self._key, self.findings, self._parent)

    def elements(self) -> "list[Field] | None":
        """The elements of this list, none if it is missing; None if it is no list."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            return None
        return [Field(value, index, self.findings, self) for index, value in enumerate(self.value)]

    def unknown_keys(self, known: Container[str]) -> str:
        """Names of fields that do not belong into this mapping, for a message; empty if there are none."""
        if not isinstance(self.value, _MAPPINGS):
            return ""
        unknown = [key for key in self.value if not (isinstance(key, str) and key in known)]
        return ", ".join(map(shown, unknown[:3])) + (" …" if len(unknown) > 3 else "")

    def refusal(self, reason: Reason, problem: str, remedy: str) -> "Refusal":
        """The exception that refuses this value, and with it the part of the object around it."""
        return Refusal(self, reason, problem, remedy)

    def report(self, reason: Reason, message: str, remedy: str) -> None:
        """Report a problem of this value; see `Report`."""
        self.findings.add(self.path, reason, message, remedy)

    def hint(self, reason: Reason, message: str, remedy: str) -> None:
        """Say something about this value that is no problem; see `Severity.HINT`."""
        self.findings.add(self.path, reason, message, remedy, Severity.HINT)

    def text(self, *, wanted: str) -> str:
        """A string; empty, and reported, if it is something else. Missing is empty."""
        if self.value is None or isinstance(self.value, str):
            return self.value or ""
        self.report(Reason.MALFORMED, f"{self} is not {wanted}: it is left out", "Write a string, in quotes")
        return ""


def _shown_key(key: object) -> str:
    return key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else shown(key)


class Refusal(Exception):  # noqa: N818 # no error: it never leaves the parsers, see `accepted`
    """A part of an object is unusable. Raised at the value, reported where the effect is known."""

    def __init__(self, field: Field, reason: Reason, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self._field, self._reason, self._problem, self._remedy = field, reason, problem, remedy

    def report(self, effect: str) -> None:
        """Report the problem with its effect on enforcement."""
        self._field.report(self._reason, f"{self._problem}: {effect}", self._remedy)


def accepted(parse: Callable[[Field], _Parsed], field: Field, effect: str) -> _Parsed | None:
    """The parsed field; None, and a report with this effect, if the parser refuses it."""
    try:
        return parse(field)
    except Refusal as refusal:
        refusal.report(effect)
        return None
