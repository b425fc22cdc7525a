"""An API server in this process, over real HTTP on loopback, to test readers of clusters.

    with FakeApiServer() as server:
        server.put("pods", {"metadata": {"namespace": "default", "name": "web"}})
        source = KubernetesSource(connect(master=server.url), (), deliver, observer)

It lists in chunks, watches with resourceVersions, bookmarks and a history that can be compacted, serves custom
resources in the given versions, refuses unauthorised readers, and fails as servers and the networks in front of them
do (`faults`).
"""

from mnp_core.testing.apiserver.faults import Answer, Cut, Fault, Garbage, Hang, Slow
from mnp_core.testing.apiserver.server import FakeApiServer
from mnp_core.testing.apiserver.store import ServedResource

__all__ = ["Answer", "Cut", "FakeApiServer", "Fault", "Garbage", "Hang", "ServedResource", "Slow"]
