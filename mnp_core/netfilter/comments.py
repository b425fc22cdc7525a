"""Rule comments: any text in printable ASCII of limited length, and back."""

import hashlib
import re
from typing import Final
from urllib.parse import quote, unquote

SAFE: Final = "!#$&'()+,-./:;<=>@[]^_`{|}~"
"""Unencoded characters besides letters, digits and space. Not `%`, which encodes, nor what ends a quoted string."""

_HASH_LENGTH = 16


def encode(text: str, limit: int) -> str:
    """Percent-encode a text and cut it.

    Args:
        text: Any.
        limit: The longest comment, in bytes; more than 17.

    Returns:
        Printable ASCII without quotes, backslashes and asterisks. A text that was cut ends in a hash of the whole, so
        that different texts stay different.
    """
    encoded = quote(text, safe=f"{SAFE} ", errors="surrogatepass")
    if len(encoded) <= limit:
        return encoded
    digest = hashlib.sha256(encoded.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{re.sub('%.?$', '', encoded[: limit - _HASH_LENGTH - 1])}~{digest}"


def decode(encoded: str) -> str:
    """The text of a comment, as far as it was kept."""
    return unquote(encoded)
