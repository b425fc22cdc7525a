"""What is closed at the end of a ``with`` block, whether that ends well or not."""

from abc import abstractmethod
from types import TracebackType
from typing import Self


class Closing:
    """Makes a context manager of a class with `close`, which may be called twice."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
