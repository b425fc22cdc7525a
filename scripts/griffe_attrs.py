"""Additions to the reference in docs/: signatures of attrs classes, and the members of enumerations.

Used by mkdocstrings alone (mkdocs.yml); nothing imports it.
"""

from typing import Any

import griffe

_DECORATORS = {"attrs.frozen", "attrs.define"}


_ENUMS = {"Enum", "IntEnum", "StrEnum"}


class AttrsExtension(griffe.Extension):
    """Gives each attrs class the `__init__` that it will have, and each member of an enumeration its value as text."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Look at one class, as griffe has read it."""
        if {str(base).rpartition(".")[2] for base in cls.bases} & _ENUMS:
            for member in cls.attributes.values():
                if member.docstring is None and member.value is not None:  # without one it would be left out
                    member.docstring = griffe.Docstring(f"`{member.value}`", parent=member)
            return
        decorators = [each for each in cls.decorators if each.callable_path in _DECORATORS]
        if not decorators or "__init__" in cls.members:
            return
        keyword_only = "kw_only=True" in str(decorators[0].value)
        kind = griffe.ParameterKind.keyword_only if keyword_only else griffe.ParameterKind.positional_or_keyword
        fields = [field for field in cls.attributes.values() if _is_field(field)]
        parameters = [
            griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword),
            *(
                griffe.Parameter(field.name, annotation=field.annotation, kind=kind, default=field.value)
                for field in fields
            ),
        ]
        cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


def _is_field(attribute: griffe.Attribute) -> bool:
    return attribute.annotation is not None and "ClassVar" not in str(attribute.annotation)
