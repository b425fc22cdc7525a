"""Texts from manifests, safe to print."""


def printable(text: str) -> str:
    """A text from manifests in one line, without control characters."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
