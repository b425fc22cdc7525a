"""Our programs at the hooks of one sandbox: those that hold the maps of its pod."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from attrs import frozen

from mnp_core.model import Direction
from mnp_ebpf.hooks import LOOPBACK, Attacher, Hook, both, hooks_of
from mnp_ebpf.maps import Map
from mnp_ebpf.pod import MAP_NAMES, PodMaps
from mnp_ebpf.program import ProgramKind, load_program, read_object
from mnp_ebpf.program_info import closing, find_program, open_program
from mnp_ebpf.table import Table

PROGRAMS: Final = {Direction.INGRESS: "mnp_ingress", Direction.EGRESS: "mnp_egress"}


@frozen
class Programs:
    """The programs of one pod's maps."""

    attacher: Attacher
    maps: PodMaps

    def wanted(self, table: Table) -> Mapping[Hook, Direction]:
        """The hooks for a table, and the direction of the rules that hold at each."""
        found = {hook: hook.direction for hook in self.attacher.further(table)}
        return found | dict(hook for each in table.interfaces for hook in hooks_of(each.place))

    def put_first(self, hook: Hook, direction: Direction) -> None:
        """Have our program at a hook, before all others. It is there at every moment, if it was."""
        attached, ours = self.attacher.attached(hook), self.ours(hook)
        right = [identity for identity, name in ours.items() if name == PROGRAMS[direction]]
        wrong = ours.keys() - right
        for identity in wrong:  # its packets were judged by other rules
            self.attacher.detach(hook, identity)
        if right and next(each for each in attached if each not in wrong) == right[0]:
            return
        with closing(self._program(direction, anew=bool(right))) as program:
            self.attacher.attach(hook, program)
        for identity in right:
            self.attacher.detach(hook, identity)

    def take_away(self, hook: Hook) -> None:
        """Remove our programs from a hook."""
        for identity in self.ours(hook):
            self.attacher.detach(hook, identity)

    def is_first(self, hook: Hook, direction: Direction) -> bool:
        """Whether our program is the first at a hook."""
        attached = self.attacher.attached(hook)
        return bool(attached) and self.ours(hook).get(attached[0]) == PROGRAMS[direction]

    def are_first(self, hooks: Iterable[tuple[Hook, Direction]]) -> bool:
        """Whether they are at all of these."""
        return all(self.is_first(hook, direction) for hook, direction in hooks)

    def ours(self, hook: Hook) -> Mapping[int, str]:
        """The numbers and names of our programs at a hook: those of our names with these maps."""
        found = {identity: find_program(identity) for identity in self.attacher.attached(hook) if identity}
        return {
            identity: info.name
            for identity, info in found.items()
            if info and info.name in PROGRAMS.values() and self.maps.state.identity in info.maps
        }

    def _program(self, direction: Direction, *, anew: bool) -> int:
        """A descriptor of the program: that at ``lo``, or one that is loaded for this."""
        for identity, name in self.ours(Hook(index=LOOPBACK, direction=direction)).items():
            if name == PROGRAMS[direction] and not anew:
                with suppress(OSError):
                    return open_program(identity)
        return load(self.maps, direction)


def load(maps: PodMaps, direction: Direction) -> int:
    """Load the program of a direction; returns its descriptor."""
    number = 0 if direction is Direction.INGRESS else 1
    compiled = read_object("policy")
    return load_program(PROGRAMS[direction], compiled, ProgramKind.TC, maps.descriptors, direction=number)


def find_pods(attacher: Attacher) -> Iterator[Programs]:
    """Our maps in the sandbox, as the programs at ``lo`` hold them; more than once only after a disturbance."""
    seen = set()
    for hook in both(LOOPBACK):
        for identity in attacher.attached(hook):
            info = find_program(identity) if identity else None
            if info and info.name in PROGRAMS.values() and info.maps not in seen:
                seen.add(info.maps)
                with ExitStack() as opened, suppress(OSError):
                    maps = {
                        each.name.removeprefix("mnp_"): each
                        for each in map(opened.enter_context, map(Map.of, info.maps))
                    }
                    if set(MAP_NAMES) <= set(maps):
                        yield Programs(attacher, PodMaps(**{name: maps[name] for name in MAP_NAMES}))


@contextmanager
def open_pod(attacher: Attacher) -> Iterator[Programs | None]:
    """Our maps in the sandbox; None if there are none."""
    found = find_pods(attacher)
    try:
        yield next(found, None)
    finally:
        found.close()  # type: ignore[attr-defined] # it is a generator
