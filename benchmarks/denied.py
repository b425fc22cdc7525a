"""The cost of the log of denied packets for allowed ones: the same rules with and without it, in turns.

    python -m benchmarks.denied

Needs root and a C compiler. Prints the median over all turns of the ratio in one turn, with the log by without it.
"""

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from attrs import evolve

from benchmarks.bench import packets
from benchmarks.bench.compiler import compiled
from benchmarks.bench.layouts import Policies, ours
from benchmarks.bench.packets import make_pair, run_program
from mnp_core.model import DeniedLog, SandboxPolicy
from mnp_nftables import NftablesApplier, NftablesRenderer
from mnp_nftables.renderer import NftablesRuleset

_MODES: Final = {"tcp": ("new connection", 3_200), "udp": ("datagram of an established flow", 25_600)}
_TURNS: Final = 15
_SIZE: Final = Policies(10, 100)


class LoggingRenderer(NftablesRenderer):
    """Writes the log into every policy."""

    def render(self, policy: SandboxPolicy) -> NftablesRuleset:
        """As the node with ``log-denied: all``."""
        return super().render(evolve(policy, common=evolve(policy.common, denied_log=DeniedLog())))


def main() -> None:
    """Measure and print."""
    with ExitStack() as stack:
        program = compiled(Path(packets.__file__).with_suffix(".c"), Path(stack.enter_context(TemporaryDirectory())))
        plain, logged = (
            make_pair(stack, ours(_SIZE, renderer, NftablesApplier()))
            for renderer in (NftablesRenderer(), LoggingRenderer())
        )
        for mode, (label, count) in _MODES.items():
            turns = [[run_program(program, pair, mode, count)[0] for pair in (plain, logged)] for _ in range(_TURNS)]
            ratios = [with_log / without for without, with_log in turns]
            spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
            print(f"{label}: {median(without for without, _ in turns):,.0f} ns, ratio {median(ratios):.3f} ({spread})")


if __name__ == "__main__":
    main()
