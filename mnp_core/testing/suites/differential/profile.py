"""How hypothesis runs here: the same examples in every run; with MNP_SEED set, others. MNP_CASES is how many."""

import os

from hypothesis import HealthCheck, settings

SEED = os.environ.get("MNP_SEED")
CASES = int(os.environ.get("MNP_CASES", "200"))

settings.register_profile(
    "differential",
    derandomize=SEED is None,
    database=None,
    deadline=None,  # a case with packets takes as long as the machine needs
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
