"""ADD, CHECK and DEL: the default network first, then the secondary ones; what was made is remembered, to go again."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .delegate import Delegate
from .failure import Failure
from .selection import NETWORKS, parse
from .status import STATUS, entry


@dataclass(frozen=True, kw_only=True)
class Call:
    """Whose sandbox it is about."""

    container: str
    interface: str
    namespace: str
    pod: str
    uid: str

    @classmethod
    def from_environment(cls, environment):
        arguments = dict(part.split("=", 1) for part in environment.get("CNI_ARGS", "").split(";") if "=" in part)
        try:
            return cls(
                container=environment["CNI_CONTAINERID"],
                interface=environment["CNI_IFNAME"],
                namespace=arguments["K8S_POD_NAMESPACE"],
                pod=arguments["K8S_POD_NAME"],
                uid=arguments.get("K8S_POD_UID", ""),
            )
        except KeyError as error:
            raise Failure(f"the runtime does not say {error}") from error


class Plugin:
    def __init__(self, api, config):
        """`config` is this plugin's own: `delegate` is the default network's configuration, `state` a folder."""
        self._api = api
        self._config = config
        self._state = Path(config["state"])

    def add(self, call):
        """Make all interfaces or none; the result of the default network's plugin."""
        pod = self._pod(call)
        made = []
        try:
            for name, delegate in self._networks(call, pod):
                made.append((name, delegate, None))
                made[-1] = (name, delegate, delegate.add())
            self._announce(pod, made)
        except Failure:
            _take_away(made)
            raise
        self._remember(call, made)
        return made[0][2]

    def check(self, call):
        for _, delegate, result in self._remembered(call):
            delegate.check(result)

    def delete(self, call):
        """Take away what was made, whatever the API server knows by now; nothing made is no error."""
        failures = _take_away(self._remembered(call) or [("", self._default(call), None)])
        if failures:
            raise failures[0]
        self._file(call).unlink(missing_ok=True)

    def _pod(self, call):
        pod = self._api.pod(call.namespace, call.pod)
        if call.uid and pod["metadata"]["uid"] != call.uid:
            raise Failure(f"pod {call.namespace}/{call.pod}: is another one by now")
        return pod

    def _default(self, call):
        return Delegate(self._config["delegate"], call.interface)

    def _networks(self, call, pod):
        """One by one, as a definition that is missing is only noticed when its turn comes."""
        yield self._config["delegate"]["name"], self._default(call)
        annotations = pod["metadata"].get("annotations") or {}
        for selection in parse(annotations.get(NETWORKS, ""), call.namespace):
            config = self._api.definition(selection.namespace, selection.name)
            yield f"{selection.namespace}/{selection.name}", _secondary(selection, config)

    def _announce(self, pod, made):
        entries = [
            entry(name, delegate.interface, result, default=n == 0) for n, (name, delegate, result) in enumerate(made)
        ]
        self._api.annotate(pod, STATUS, json.dumps(entries))

    def _remember(self, call, made):
        self._state.mkdir(parents=True, exist_ok=True)
        self._file(call).write_text(json.dumps([[name, delegate.saved(), result] for name, delegate, result in made]))

    def _remembered(self, call):
        with suppress(FileNotFoundError):
            return [
                (name, Delegate(*saved), result) for name, saved, result in json.loads(self._file(call).read_text())
            ]
        return []

    def _file(self, call):
        return self._state / f"{call.container}.json"


def _secondary(selection, config):
    wishes = {"ips": selection.ips, "mac": selection.mac}
    capabilities = {name: wish for name, wish in wishes.items() if wish}
    arguments = {"IP": ",".join(selection.ips), "MAC": selection.mac}
    if selection.cni_args:
        config = {**config, "args": {"cni": selection.cni_args}}
    return Delegate(config, selection.interface, capabilities, {name: wish for name, wish in arguments.items() if wish})


def _take_away(made):
    """Last first; every one is tried. The failures."""
    failures = []
    for _, delegate, result in reversed(made):
        try:
            delegate.delete(result)
        except Failure as failure:
            failures.append(failure)
    return failures
