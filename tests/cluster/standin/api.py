"""The two objects that are read from the API server, and the annotation that is written."""

import http.client
import json
import ssl
from urllib.parse import urlsplit

from .failure import Failure

_DEFINITIONS = "/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions/{}"
_TRY_AGAIN = 11


class Api:
    def __init__(self, server, authority, certificate, key):
        self._server = urlsplit(server).netloc
        self._context = ssl.create_default_context(cafile=authority)
        self._context.load_cert_chain(certificate, key)

    def pod(self, namespace, name):
        return self._ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")

    def definition(self, namespace, name):
        """The CNI configuration of a NetworkAttachmentDefinition: a single one or a list."""
        found = self._ask("GET", _DEFINITIONS.format(namespace, name))
        try:
            config = json.loads(found["spec"]["config"])
        except (LookupError, TypeError, ValueError) as error:
            raise Failure(f"network attachment definition {namespace}/{name}: spec.config: {error!r}") from error
        return {"name": name, **config}

    def annotate(self, pod, name, value):
        metadata = pod["metadata"]
        patch = {"metadata": {"uid": metadata["uid"], "annotations": {name: value}}}
        self._ask("PATCH", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", patch)

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPSConnection(self._server, timeout=20, context=self._context)
        try:
            headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
            connection.request(method, path, body and json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.load(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Failure(f"{method} {path}: {error!r}", _TRY_AGAIN) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Failure(f"{method} {path}: {answer.get('message', answer)}")
        return answer
