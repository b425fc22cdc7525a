"""From the events of a YAML stream to JSON values; used by `mnp_core.sources.yamltext` alone.

PyYAML's events come from a parser that does not recurse; values are built from them here, for three reasons.
Timestamps, sexagesimal numbers and the like, which YAML 1.1 has and Kubernetes does not, stay text. A key that
stands twice in a mapping is an error: of two ``ingress`` one would silently be lost. And aliases are weighed before
they are followed, so that a few lines that stand for gigabytes are refused.
"""

import math
import re
from collections.abc import Iterator

import yaml
from attrs import field

from mnp_core.classes import define
from mnp_core.errors import InputError
from mnp_core.sources.yamltext import DEEPEST, Value, YamlDocument

MOST_ALIASED = 100_000
"""Values in one document that aliases may stand for, counted with all that they contain."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it: ten times as fast

_MERGE = "<<"  # the merge key, https://yaml.org/type/merge.html
_TAG = "tag:yaml.org,2002:"
_STANDARD_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_TRUE = ("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON")
_FALSE = ("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF")
_NULL = ("", "~", "null", "Null", "NULL")
_WORDS: dict[str, bool | None] = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False) | dict.fromkeys(_NULL)
_BASES = (
    (10, re.compile(r"[-+]?(0|[1-9][0-9_]{0,18})")),
    (16, re.compile(r"[-+]?0x[0-9a-fA-F][0-9a-fA-F_]{0,15}")),
    (8, re.compile(r"[-+]?0o?[0-7][0-7_]{0,21}")),
    (2, re.compile(r"[-+]?0b[01][01_]{0,63}")),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def documents(text: str, where: str) -> Iterator[YamlDocument]:
    """See `mnp_core.sources.yamltext.decode_yaml`."""
    number, builder = 0, _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                number, builder = number + 1, _Builder()
            elif isinstance(event, yaml.DocumentEndEvent):
                yield YamlDocument(number=number, value=builder.result)
            else:
                builder.take(event)
    except _UnfitError as error:
        raise InputError(str(error), where=f"{where}, document {max(number, 1)}, line {error.line}") from None
    except yaml.YAMLError as error:
        line = _line(error)
        place = f"{where}, document {max(number, 1)}" + (f", line {line}" if line else "")
        raise InputError(f"not YAML: {_problem(error)}. Correct the line, or the one before it", where=place) from None


def _problem(error: yaml.YAMLError) -> str:
    if "nesting depth" in str(error):  # libyaml has a limit of its own, which some versions meet first
        return f"nested more than {DEEPEST} levels deep"
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read")


def _line(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else 0


class _UnfitError(Exception):
    """Good YAML that no Kubernetes object holds."""

    def __init__(self, message: str, event: yaml.Event) -> None:
        super().__init__(message)
        self.line = event.start_mark.line + 1 if event.start_mark else 1


@define
class _Open:
    """A mapping or list whose end has not been seen yet.

    `weight` counts the values in it, those behind aliases as often as they are meant. `key` is the key whose value
    comes next; `merged` are the mappings of its merge keys.
    """

    value: dict[str, Value] | list[Value]
    anchor: str | None
    weight: int = 1
    key: str | None = None
    merged: list[Value] = field(factory=list)


@define
class _Anchored:
    """A value that aliases may refer to; until its end has been seen it cannot be meant."""

    value: Value
    weight: int
    closed: bool


@define
class _Builder:
    """Builds the value of one document from its events; a stack of its own stands in for recursion."""

    result: Value = None
    _open: list[_Open] = field(factory=list)
    _anchored: dict[str, _Anchored] = field(factory=dict)
    _aliased: int = 0

    def take(self, event: yaml.Event) -> None:
        """Go on with the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._start(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and isinstance(top.value, dict):
            top.key = _key(event, top.value)
            return
        value = _resolved(event)
        if event.anchor:
            self._anchored[event.anchor] = _Anchored(value, 1, closed=True)
        self._put(value, 1)

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self._open) >= DEEPEST:
            raise _UnfitError(f"nested more than {DEEPEST} levels deep: no Kubernetes object is", event)
        _check_tag(event)
        self._check_key(event)
        opened = _Open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor)
        if event.anchor:
            self._anchored[event.anchor] = _Anchored(opened.value, 0, closed=False)
        self._open.append(opened)

    def _end(self, event: yaml.Event) -> None:
        ended = self._open.pop()
        if isinstance(ended.value, dict):
            _merge(ended.value, ended.merged, event)
        if ended.anchor:
            self._anchored[ended.anchor] = _Anchored(ended.value, ended.weight, closed=True)
        self._put(ended.value, ended.weight)

    def _alias(self, event: yaml.AliasEvent) -> None:
        self._check_key(event)
        name = event.anchor or ""
        target = self._anchored.get(name)
        if target is None or not target.closed:
            wrong = "there is no anchor" if target is None else "it lies inside of the directory called"
            raise _UnfitError(f"the alias *{name:.40} means nothing: {wrong} &{name:.40}", event)
        self._aliased += target.weight
        if self._aliased > MOST_ALIASED:
            raise _UnfitError(f"aliases stand for more than {MOST_ALIASED:,} values: write fewer, or none", event)
        self._put(target.value, target.weight)

    def _put(self, value: Value, weight: int) -> None:
        """Hand a finished value to its container."""
        if not self._open:
            self.result = value
            return
        top = self._open[-1]
        top.weight += weight
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.key is not None:
            if top.key == _MERGE:
                top.merged.append(value)
            else:
                top.value[top.key] = value
            top.key = None

    def _check_key(self, event: yaml.Event) -> None:
        top = self._open[-1] if self._open else None
        if top is not None and top.key is None and isinstance(top.value, dict):
            raise _UnfitError("a key must be text", event)


def _key(event: yaml.ScalarEvent, siblings: dict[str, Value]) -> str:
    key: str = event.value
    if key in siblings and key != _MERGE:
        raise _UnfitError(f"the key {key:.60} stands twice in one mapping: leave one of them out", event)
    return key


def _check_tag(event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
    if event.tag not in (None, "!") and event.tag not in _STANDARD_TAGS:
        raise _UnfitError(f"the tag {event.tag:.60} means nothing here: leave it out", event)


def _resolved(event: yaml.ScalarEvent) -> Value:
    """The value of a scalar: text if it is quoted or tagged so, else by its form."""
    _check_tag(event)
    plain: str = event.value
    _, quoted = event.implicit
    if quoted or event.tag in ("!", _TAG + "str"):
        return plain
    if plain in _WORDS:
        return _WORDS[plain]
    return _number(plain) if plain[0] in "-+.0123456789" else plain


def _number(plain: str) -> Value:
    for base, pattern in _BASES:
        if pattern.fullmatch(plain):
            return int(plain.replace("_", "").replace("0o", "0"), base)
    if _FLOAT.fullmatch(plain) and math.isfinite(value := float(plain)):
        return value
    return plain


def _merge(mapping: dict[str, Value], merged: list[Value], event: yaml.Event) -> None:
    """Add entries of merge keys that the mapping lacks; of several the first counts."""
    sources = [source for value in merged for source in (value if isinstance(value, list) else [value])]
    for source in sources:
        if not isinstance(source, dict):
            raise _UnfitError("only a mapping, or a list of mappings, can be merged with <<", event)
        for key, value in source.items():
            mapping.setdefault(key, value)
