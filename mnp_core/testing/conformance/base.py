"""The common base of conformance classes: standard tests that cannot be overridden or dropped in silence."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import pytest

PLUGIN = "mnp_core.testing.plugin"


def leave_out(reason: str) -> NoReturn:
    """Leave out a test that is not for this plugin: it declares a refusal, or lacks an ability that plugins may lack.

    The report counts and prints the reasons.
    """
    pytest.skip(reason)  # the reason is the caller's


class Conformance:
    """The base of the conformance classes.

    Attributes:
        exceptions: Standard tests that this plugin does not pass, or not as they stand, each with the reason. Such a
            test is not run, or the class has another one of the same name. The report prints them.
        standard_tests: The standard tests of the class, by name.
    """

    exceptions: ClassVar[Mapping[str, str]] = {}
    standard_tests: ClassVar[Mapping[str, Callable[..., None]]] = {}

    def __init_subclass__(cls, *, standard: bool = False, **arguments: Any) -> None:
        """Collect standard tests, in the kit; make sure of them, everywhere else."""
        super().__init_subclass__(**arguments)
        inherited = {name: test for base in reversed(cls.__mro__[1:]) for name, test in _tests_of(base).items()}
        if standard:
            own = {name: value for name, value in vars(cls).items() if name.startswith("test_")}
            cls.standard_tests = inherited | own
        else:
            cls.standard_tests = inherited
            cls.check()

    @classmethod
    def check(cls) -> None:
        """Make sure that the standard tests are unchanged.

        Raises:
            TypeError: One was overridden, dropped or misspelt without a reason.
        """
        if problems := list(cls._problems()):
            raise TypeError(f"{cls.__name__}: {'; '.join(problems)}")

    @classmethod
    def _problems(cls) -> Iterator[str]:
        for name, test in cls.standard_tests.items():
            if getattr(cls, name, None) is not test and name not in cls.exceptions:
                what = "overrides" if getattr(cls, name, None) is not None else "drops"
                yield f"{what} the standard test {name}: name it in `exceptions`, with the reason"
        for name, reason in cls.exceptions.items():
            if name not in cls.standard_tests:
                yield f"`exceptions` names {name!r}, which is no standard test of this class"
            elif not reason.strip():
                yield f"`exceptions` gives no reason for {name}"

    @pytest.fixture(autouse=True)
    def _with_plugin(self, request: pytest.FixtureRequest) -> None:
        """Without the plugin exceptions would not be printed."""
        if not request.config.pluginmanager.has_plugin(PLUGIN):
            pytest.fail(f"conformance classes need the pytest plugin {PLUGIN}: run pytest with -p {PLUGIN}")


def _tests_of(base: type) -> Mapping[str, Callable[..., None]]:
    found: Mapping[str, Callable[..., None]] = vars(base).get("standard_tests", {})
    return found


def missing_hook(owner: object, name: str) -> NotImplementedError:
    """The error of a hook that the class must define."""
    return NotImplementedError(f"{type(owner).__name__} does not define {name}: see the docstring of the base class")


def shown(text: str) -> str:
    """A hostile text as the name of a case, without characters special to pytest or a shell."""
    return ascii(text[:20]).replace("\\", "/")
