"""How hypothesis runs here: the same examples in every run; with MNP_SEED set, others.

MNP_CASES is how many the suite that sends packets has; others have as many more or fewer.
"""

import os

from hypothesis import HealthCheck, settings

SEED = os.environ.get("MNP_SEED")
_USUAL = 200
CASES = int(os.environ.get("MNP_CASES", str(_USUAL)))

settings.register_profile(
    "differential",
    derandomize=SEED is None,
    database=None,
    deadline=None,  # a case with packets takes as long as the machine needs
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


def in_proportion(number: int) -> int:
    """How many examples, or rounds, a test has with this MNP_CASES that has `number` without."""
    return max(1, number * CASES // _USUAL)
