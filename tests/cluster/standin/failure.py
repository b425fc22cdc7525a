"""What goes wrong, as CNI reports it."""


class Failure(Exception):  # noqa: N818 - CNI's word is taken: an error is its JSON
    """The call fails; the runtime shows the message and may try again.

    Attributes:
        code: Of CNI; 11 asks to try again later, those from 100 on are a plugin's own.
    """

    def __init__(self, message: str, code: int = 100) -> None:
        super().__init__(message)
        self.code = code
