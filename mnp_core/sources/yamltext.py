"""YAML as Kubernetes reads it: documents of JSON values, and nothing that costs more than its size."""

from collections.abc import Iterator

from mnp_core.classes import frozen

Value = dict[str, "Value"] | list["Value"] | str | int | float | bool | None
"""A JSON value."""

DEEPEST = 200
"""Levels of nesting; the deepest object of Kubernetes, a CRD's schema, has about 30."""


@frozen(kw_only=True)
class YamlDocument:
    """One document of a stream.

    Attributes:
        number: Its position, from 1; empty documents count.
        value: Its content.
    """

    number: int
    value: Value


def decode_yaml(text: str, where: str) -> Iterator[YamlDocument]:
    """Decode all documents of a stream.

    Args:
        text: The stream.
        where: The name of the file, for errors.

    Raises:
        InputError: Not YAML, or outside of the values of Kubernetes objects; with document and line.
    """
    from mnp_core.sources.yamlevents import documents  # noqa: PLC0415 # PyYAML, for commands that read a file alone

    yield from documents(text, where)
