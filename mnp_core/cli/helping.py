"""Examples below the help of commands.

Each is run by tests (tests/cli/test_help.py), in a folder with manifests: `policies`, `old`, `new` and `settings.yaml`.
"""

_FIRST = "\b\nExamples:"


def examples(*lines: tuple[str, str]) -> str:
    """The epilog of a command.

    Args:
        lines: What an example is for, or nothing if it is for the same as the one before, and the command.
    """
    shown = [_FIRST]
    for purpose, command in lines:
        shown += [f"  # {purpose}"] if purpose else []
        shown.append(f"  {command}")
    return "\n".join(shown)
