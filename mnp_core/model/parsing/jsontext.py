"""JSON inside a string, as annotations and network configurations carry it."""

import json
from typing import NoReturn

LONGEST = 1_500_000
"""Characters; etcd keeps no larger object, so nothing in a cluster is longer."""


def decode_json(text: str) -> object:
    """Decode it.

    Raises:
        ValueError: Not JSON, or over a limit; with the reason.
    """
    if len(text) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST:,} characters")
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise ValueError("a number in it is too long") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not a JSON number", "", 0)


_decoder = json.JSONDecoder(parse_constant=_refuse)
