"""Every error that an attempt can end with has a word."""

import pytest

from mnp_core.agent.results import failure_of
from mnp_core.api import Failure
from mnp_core.errors import (
    ApiUnreachableError,
    ApplyError,
    InputError,
    PluginError,
    SandboxError,
    SandboxNotFoundError,
    UnsupportedError,
)


class OwnApplyError(ApplyError):
    """As a plugin may define it."""


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (SandboxNotFoundError(""), Failure.NOT_FOUND),
        (ApplyError(""), Failure.REFUSED),
        (OwnApplyError(""), Failure.REFUSED),
        (SandboxError(""), Failure.SANDBOX),
        (UnsupportedError(""), Failure.UNSUPPORTED),
        (PluginError(""), Failure.PLUGIN),
        (ValueError(""), Failure.PLUGIN),
        (InputError(""), Failure.INPUT),
        (ApiUnreachableError(""), Failure.OTHER),
    ],
)
def test_word_is_that_of_the_nearest_class(error, failure):
    assert failure_of(error) is failure
