"""The user's kubectl: the agents' pods, and commands that run in their containers."""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence

from mnp_core.classes import frozen
from mnp_core.cli.fleet.asking import Limits, ask
from mnp_core.errors import ApiUnreachableError, UnsupportedError

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")  # RFC 1123, as API servers have it
_FIELDS = ("{.metadata.name}", "{.spec.nodeName}", "{.status.phase}", "{.metadata.deletionTimestamp}")
_LINES = "{range .items[*]}" + r'{"\t"}'.join(_FIELDS) + r'{"\n"}{end}'
_OVER = frozenset({"Succeeded", "Failed"})


@frozen(order=True)
class AgentPod:
    """A pod of an agent.

    Attributes:
        node: Its node; empty while it has none.
        name: Its name.
        phase: Its phase, such as ``Running``.
    """

    node: str
    name: str
    phase: str

    @property
    def label(self) -> str:
        """Its name in messages: the node's, if it has one."""
        return self.node or self.name


@frozen(kw_only=True)
class Kubectl:
    """A kubectl, and the cluster that it asks.

    Attributes:
        program: Its full path.
        options: Those that name the cluster.
    """

    program: str
    options: tuple[str, ...] = ()

    @classmethod
    def find(cls, kubeconfig: str | None, context: str | None) -> "Kubectl":
        """The kubectl on PATH.

        Raises:
            UnsupportedError: There is none.
        """
        program = shutil.which("kubectl")
        if program is None:
            raise UnsupportedError("there is no kubectl on PATH: install it, the agents are reached by kubectl exec")
        given = (("kubeconfig", kubeconfig), ("context", context))
        return cls(program=program, options=tuple(f"--{name}={value}" for name, value in given if value is not None))

    def get(self, words: Sequence[str], seconds: float) -> bytes:
        """The output of ``kubectl get``.

        Raises:
            ApiUnreachableError: It fails, or does not end in time.
        """
        (answer,) = ask({"get": [self.program, *self.options, "get", *words]}, Limits(seconds=seconds))
        if answer.failure:
            timed_out = answer.failure.startswith("no answer")
            raise ApiUnreachableError(f"kubectl get {words[0]} failed: {answer.failure}", timed_out=timed_out)
        return answer.output

    def agents(self, namespace: str, selector: str, seconds: float) -> tuple[AgentPod, ...]:
        """The agents' pods, one for each node, in the order of the nodes; raises ApiUnreachableError."""
        words = ("pods", f"--namespace={namespace}", f"--selector={selector}", f"--output=jsonpath={_LINES}")
        return _one_each(_parsed(self.get(words, seconds)))

    def node_of(self, namespace: str, name: str, seconds: float) -> str:
        """The node of a pod; empty while it has none.

        Raises:
            ApiUnreachableError: kubectl fails, also because there is no such pod.
        """
        words = ("pods", f"--namespace={namespace}", "--output=jsonpath={.spec.nodeName}", "--", name)
        return self.get(words, seconds).decode(errors="replace").strip()

    def exec(
        self, namespace: str, pod: AgentPod, container: str, command: Sequence[str], *, fed: bool = False
    ) -> list[str]:
        """The command line that runs a command in a container, with standard input if it is fed."""
        stdin = ("--stdin=true",) if fed else ()
        where = ("exec", f"--namespace={namespace}", f"--container={container}", *stdin, pod.name, "--")
        return [self.program, *self.options, *where, *command]


def _parsed(output: bytes) -> Iterator[tuple[bool, AgentPod]]:
    """Pods, each with whether it is on its way out. A line that is not as asked for is no pod's."""
    for line in output.decode(errors="replace").splitlines():
        name, node, phase, deleted, *_ = (*line.split("\t"), "", "", "", "")
        if _NAME.fullmatch(name) and (not node or _NAME.fullmatch(node)) and phase.isalpha() and phase not in _OVER:
            yield bool(deleted), AgentPod(node, name, phase)


def _one_each(pods: Iterable[tuple[bool, AgentPod]]) -> tuple[AgentPod, ...]:
    """The pod that counts on each node: while one is replaced, that which stays, and runs."""
    chosen: dict[str, AgentPod] = {}
    for _, pod in sorted(pods, key=lambda each: (not each[0], each[1].phase == "Running", each[1])):
        chosen[pod.label] = pod
    return tuple(sorted(chosen.values()))
