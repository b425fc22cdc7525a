"""Threads of the program that read for the first time at once: msgspec works a type out at its first use, unguarded."""

import subprocess
import sys

FIRST_USES = """
import sys, threading
from mnp_core.errors import ApiError
from mnp_core.kubeapi.refusal import refusal
from mnp_core.sources.kubernetes.discovery import served_version
from mnp_core.sources.kubernetes.resource import Resource

GROUPS = b'{"kind": "APIGroupList", "groups": [{"name": "g", "versions": [{"version": "v1"}]}]}'
RESOURCES = b'{"kind": "APIResourceList", "groupVersion": "g/v1", "resources": [{"name": "things"}]}'
sys.setswitchinterval(0.000001)
start, resource = threading.Barrier(8), Resource(group="g", versions=("v1",), plural="things", kind="Thing")

def work():
    start.wait()
    assert served_version(lambda path: GROUPS if path == "/apis" else RESOURCES, resource) == "v1"
    assert refusal(500, {}, b'{"details": {"retryAfterSeconds": 1}}').status == 500

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_threads_that_read_for_the_first_time_at_once_do_not_end_the_process():
    ended = [subprocess.run([sys.executable, "-c", FIRST_USES], capture_output=True, check=False) for _ in range(8)]
    assert {(each.returncode, each.stderr) for each in ended} == {(0, b"")}
