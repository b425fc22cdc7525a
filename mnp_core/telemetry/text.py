"""External text, made safe for display: names and messages are untrusted."""


def printable(text: str) -> str:
    """Escape invisible characters: line ends, terminal sequences, marks that turn the direction of writing."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def shorten(text: str, limit: int) -> str:
    """Cut text to so many bytes of UTF-8, never inside of a character; cut text ends with an ellipsis."""
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) <= limit:
        return encoded.decode()
    ellipsis = "…".encode()
    return encoded[: limit - len(ellipsis)].decode(errors="ignore") + "…"


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
