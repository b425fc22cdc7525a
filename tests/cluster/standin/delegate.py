"""Calls the CNI plugins of one network, as a runtime does: a single one, or those of a list in turn."""

import json
import os
import subprocess
from pathlib import Path

from .failure import Failure


class Delegate:
    """One network's configuration and the interface that it makes in one sandbox.

    Attributes:
        config: Of CNI: with a `type`, or a list with `plugins`.
        interface: The name of the interface.
        capabilities: What may go into `runtimeConfig` of plugins that declare it: ips, mac.
        arguments: What goes into CNI_ARGS besides what the runtime has put there: IP, MAC.
    """

    def __init__(self, config, interface, capabilities=None, arguments=None):
        self.config = config
        self.interface = interface
        self.capabilities = capabilities or {}
        self.arguments = arguments or {}

    def add(self):
        """Make the interface; the result of the last plugin."""
        result = None
        for plugin in self._plugins():
            result = self._call("ADD", plugin, result)
        return result

    def check(self, result):
        """See whether it is as it was made. Versions before 0.4.0 have no such call, and a network can opt out."""
        if self._version() >= (0, 4, 0) and not self.config.get("disableCheck"):
            for plugin in self._plugins():
                self._call("CHECK", plugin, result)

    def delete(self, result):
        """Take it away, last plugin first; all of them are called, then the first failure is raised."""
        failures = []
        for plugin in reversed(self._plugins()):
            try:
                self._call("DEL", plugin, result if self._version() >= (0, 4, 0) else None)
            except Failure as failure:
                failures.append(failure)
        if failures:
            raise failures[0]

    def saved(self):
        """All of it as JSON."""
        return [self.config, self.interface, self.capabilities, self.arguments]

    def _plugins(self):
        shared = {key: self.config[key] for key in ("name", "cniVersion") if key in self.config}
        plugins = self.config.get("plugins", [self.config])
        return [{**plugin, **shared} for plugin in plugins]

    def _version(self):
        return tuple(int(part) for part in self.config.get("cniVersion", "0.1.0").split("."))

    def _call(self, command, plugin, previous):
        request = dict(plugin)
        declared = request.pop("capabilities", {})
        runtime = {name: value for name, value in self.capabilities.items() if declared.get(name)}
        request |= {"runtimeConfig": runtime} if runtime else {}
        request |= {"prevResult": previous} if previous else {}
        done = subprocess.run(
            [_find(plugin["type"])],
            input=json.dumps(request).encode(),
            env=self._env(command),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            who = f"network {self.config.get('name')}, interface {self.interface}"
            raise Failure(f"{who}: {command} by {plugin['type']}: {_error(done)}")
        return json.loads(done.stdout) if command == "ADD" else None

    def _env(self, command):
        given = os.environ.get("CNI_ARGS", "")
        arguments = ";".join([given, *(f"{key}={value}" for key, value in self.arguments.items())]).strip(";")
        return {**os.environ, "CNI_COMMAND": command, "CNI_IFNAME": self.interface, "CNI_ARGS": arguments}


def _find(kind):
    programs = (Path(folder) / kind for folder in os.environ["CNI_PATH"].split(":") if "/" not in kind)
    found = next((program for program in programs if os.access(program, os.X_OK)), None)
    if found is None:
        raise Failure(f"no CNI plugin {kind!r} in {os.environ['CNI_PATH']}")
    return found


def _error(done):
    try:
        answer = json.loads(done.stdout)
        return f"{answer['msg']} {answer.get('details', '')}".strip()
    except (LookupError, TypeError, ValueError):
        return (done.stdout + done.stderr).decode(errors="replace")[-500:]
