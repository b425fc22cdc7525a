"""The settings by name, each parsed to its type, or refused with the fix."""

import math
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from mnp_core.errors import InputError
from mnp_core.model import Cidr, ObjectName, parse_cidr
from mnp_core.model.budget import UNLIMITED

_Choice = TypeVar("_Choice", bound=StrEnum)


class Values:
    """The settings by name; it remembers which names were asked for, all others are unknown."""

    def __init__(self, raw: object, where: str, path: str = "") -> None:
        self._where, self._path = where, path
        if not isinstance(raw, Mapping | None):
            example = "plugins: {disabled: [NAME]}" if path else "accept-icmp: true"
            raise InputError(f"must be a mapping of settings to values, such as `{example}`", where=where, field=path)
        self._raw: Mapping[object, object] = raw or {}
        self._known: set[str] = set()

    def _get(self, name: str) -> object:
        self._known.add(name)
        return self._raw.get(name)

    def _wrong(self, name: str, message: str) -> InputError:
        return InputError(message, where=self._where, field=f"{self._path}.{name}" if self._path else name)

    def child(self, name: str) -> "Values":
        """The settings of a group."""
        return Values(self._get(name), self._where, name)

    def reject_unknown(self) -> None:
        for name in self._raw:
            if name not in self._known:
                near = get_close_matches(str(name), self._known, n=1)
                hint = f"is {near[0]!r} meant?" if near else f"there are: {', '.join(sorted(self._known))}"
                raise self._wrong(f"{name!s:.80}", f"there is no such setting: {hint}")

    def has(self, name: str) -> bool:
        return self._get(name) is not None

    def boolean(self, name: str) -> bool:
        value = self._get(name)
        if not isinstance(value, bool | None):
            raise self._wrong(name, f"must be true or false, not {value!r:.80}")
        return bool(value)

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str | None):
            raise self._wrong(name, f"must be a string, not {value!r:.80}")
        return value or ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list, or, as the options of the engines in use today write it, one string with commas."""
        value = self._get(name)
        entries = value.split(",") if isinstance(value, str) else value if value is not None else []
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise self._wrong(name, f"must be a list of strings, not {value!r:.80}")
        return tuple(entry.strip() for entry in entries if entry.strip())

    def texts_by_name(self, name: str) -> Mapping[str, str]:
        value = self._get(name)
        if not isinstance(value, Mapping | None) or not all(isinstance(text, str) for text in _flat(value)):
            raise self._wrong(name, f"must be a mapping of names to strings, not {value!r:.80}")
        return value or {}

    def numbers_by_name(self, name: str, possible: Collection[str]) -> Mapping[str, int]:
        """A mapping of some of these names to numbers, none of them negative."""
        value = self._get(name)
        if not isinstance(value, Mapping | None):
            raise self._wrong(name, f"must be a mapping of {', '.join(possible)} to numbers, not {value!r:.80}")
        for each, number in (value or {}).items():
            if each not in possible:
                raise self._wrong(name, f"{each!s:.80} is no limit: there are {', '.join(possible)}")
            if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < UNLIMITED:
                raise self._wrong(name, f"{each} must be a whole number from 0, not {number!r:.80}")
        return value or {}

    def object_name(self, name: str, text: str) -> ObjectName:
        namespace, slash, own = text.partition("/")
        if not (namespace and slash and own) or "/" in own:
            raise self._wrong(name, f"{text!r:.80} is not the name of a network: write namespace/name")
        return ObjectName(namespace, own)

    def cidrs(self, name: str) -> tuple[Cidr, ...]:
        return tuple(self._cidr(name, text) for text in self.texts(name))

    def _cidr(self, name: str, text: str) -> Cidr:
        try:
            return parse_cidr(text)
        except ValueError as error:
            raise self._wrong(name, f"{text!r:.80} is {error}: write it as 10.0.0.0/8 or fd00::/8") from error

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        value = self._get(name)
        if value is None:
            return default
        seconds = _number(value)
        if not least <= seconds <= most:
            raise self._wrong(name, f"must be a number of seconds from {least:g} to {most:g}, not {value!r:.80}")
        return seconds

    def whole_number(self, name: str, default: int, most: int) -> int:
        """A number from 1 on, or its text as flags have it."""
        value = self._get(name)
        if value is None:
            return default
        number = _number(value)
        if not 1 <= number <= most or number != int(number):
            raise self._wrong(name, f"must be a whole number from 1 to {most}, not {value!r:.80}")
        return int(number)

    def is_false(self, name: str) -> bool:
        """Whether it is the truth value that YAML reads an unquoted ``off`` as."""
        return self._get(name) is False

    def choice(self, name: str, choices: type[_Choice], default: _Choice) -> _Choice:
        value = self._get(name)
        return default if value is None else self.one_of(name, choices, value)

    def one_of(self, name: str, choices: type[_Choice], value: object) -> _Choice:
        try:
            return choices(str(value))
        except ValueError as error:
            possible = " or ".join(choice.value for choice in choices)
            raise self._wrong(name, f"must be {possible}, not {value!r:.80}") from error


def _number(value: object) -> float:
    """A number, or its text as flags have it; not a number for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _flat(mapping: Mapping[object, object] | None) -> list[object]:
    return [*(mapping or {}).keys(), *(mapping or {}).values()]
