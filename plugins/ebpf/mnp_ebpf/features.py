"""What this backend is called, and what it does not do: read by every `mnp`, without the implementation."""

from typing import Final

from mnp_core.model import Feature, LinkPath

DIALECT: Final = "ebpf"
REFUSES: Final = frozenset({Feature.REJECT, Feature.CUSTOM_RULES, Feature.LOG_DENIED})
PATHS: Final = frozenset(LinkPath)
RANK: Final = -100
"""Never taken for ordinary interfaces without being named: it is for packets that no other backend sees."""
