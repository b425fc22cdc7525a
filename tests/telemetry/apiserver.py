"""As much of an API server as Events need, over HTTP on loopback, and a client for it.

It keeps Events as kube-apiserver does: creates once, changes by merge patch, validates (core/v1 Event validation),
and refuses, or forgets, at the test's command.
"""

import json
import re
import threading
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mnp_core.errors import ApiError, ApiUnreachableError

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class EventServer:
    """Attributes:
    events: By namespace and name.
    requests: Method and status of each.
    """

    def __init__(self):
        self.events, self.requests, self.refusals = {}, [], []
        self.lock = threading.Lock()
        self.answering = threading.Event()
        self.answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.events = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self):
        self.answering.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def refuse(self, status, message="no", times=1, retry_after=None):
        self.refusals += [(status, message, retry_after)] * times

    @property
    def statuses(self):
        return [status for _, status in self.requests]

    def all(self):
        return list(self.events.values())

    def one(self):
        [event] = self.events.values()
        return event


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.answer(self.create)

    def do_PATCH(self):
        self.answer(self.change)

    def answer(self, act):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        events = self.server.events
        events.answering.wait()
        retry_after = None
        with events.lock:
            if events.refusals:
                status, said, retry_after = events.refusals.pop(0)
            else:
                status, said = act(events, body)
            events.requests.append((self.command, status))
        answer = json.dumps(said if isinstance(said, dict) else {"kind": "Status", "message": said, "reason": ""})
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def create(self, events, body):
        [namespace] = re.fullmatch(r"/api/v1/namespaces/([^/]+)/events", self.path).groups()
        if problem := self.problem(namespace, body):
            return 422, problem
        key = namespace, body["metadata"]["name"]
        if key in events.events:
            return 409, f'events "{key[1]}" already exists'
        events.events[key] = body
        return 201, body

    def change(self, events, body):
        key = re.fullmatch(r"/api/v1/namespaces/([^/]+)/events/([^/]+)", self.path).groups()
        if self.headers["Content-Type"] != "application/merge-patch+json":
            return 415, "unsupported media type"
        if key not in events.events:
            return 404, f'events "{key[1]}" not found'
        events.events[key] |= body
        return 200, events.events[key]

    @staticmethod
    def problem(namespace, body):
        involved, meta = body["involvedObject"], body["metadata"]
        if meta["namespace"] != namespace or involved.get("namespace", "default") != namespace:
            return "involvedObject.namespace: does not match event.namespace"
        if len(meta["name"]) > 253 or not SUBDOMAIN.fullmatch(meta["name"]):
            return "metadata.name: a lowercase RFC 1123 subdomain must consist of ..."
        if not all(isinstance(body[field], str) and body[field].endswith("Z") for field in ("firstTimestamp",)):
            return "firstTimestamp: no time"
        return ""

    def log_message(self, *_):
        pass


class HttpApi:
    """The two requests of an `EventApi`."""

    def __init__(self, port):
        self.port = port

    def post(self, path, body):
        return self._ask("POST", path, body, "application/json")

    def patch(self, path, body, content_type="application/merge-patch+json"):
        return self._ask("PATCH", path, body, content_type)

    def _ask(self, method, path, body, content_type):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": content_type})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            raise ApiUnreachableError(str(error)) from error
        finally:
            connection.close()
        if response.status >= 400:
            status, retry = json.loads(answer), response.headers["Retry-After"]
            raise ApiError(response.status, status["reason"], status["message"], float(retry) if retry else None)
        return answer
