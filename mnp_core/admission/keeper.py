"""Keeps the certificates in a Secret, and has API servers trust them.

Replicas need no Lease: whoever is first writes, with the resourceVersion that it has read, and the others are refused
(409) and read again.
"""

import base64
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import msgspec
import structlog

from mnp_core.admission.certificates import Certificates, renewed, serving_context
from mnp_core.errors import ApiError, ApiUnreachableError
from mnp_core.kubeapi import ApiServer

LOOK_SECONDS: Final = 30.0
"""Between two looks at the Secret and at the configuration of the webhook."""

_RETRY_SECONDS: Final = 3.0
_CONFIGURATIONS: Final = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_object = msgspec.json.Decoder(dict[str, Any])
_log = structlog.stdlib.get_logger(__name__)


class Keeper:
    """`tend` is called on one thread; `context` on any."""

    def __init__(
        self,
        api: ApiServer,
        *,
        namespace: str,
        name: str,
        hosts: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Begin without certificates.

        Args:
            api: The API server.
            namespace: Of the Secret.
            name: Of the Secret and of the ValidatingWebhookConfiguration.
            hosts: Names and addresses of the webhook.
            clock: Seconds, monotonic.
            wall: Seconds since the epoch.
        """
        self._api, self._hosts, self._clock, self._wall = api, tuple(hosts), clock, wall
        self._secret = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}"
        self._configuration = f"{_CONFIGURATIONS}/{quote(name, safe='')}"
        self._known = Certificates()
        self._context: ssl.SSLContext | None = None
        self._next, self._said = 0.0, ""
        self.registered = False

    @property
    def ready(self) -> bool:
        """Whether there is a certificate to serve with."""
        return self._context is not None

    @property
    def expires(self) -> float:
        """The end of the certificate, in seconds since the epoch; 0 without one."""
        return self._known.expires

    def context(self) -> ssl.SSLContext:
        """The TLS of new connections.

        Raises:
            ConnectionError: There is no certificate yet.
        """
        if self._context is None:
            raise ConnectionError("there is no certificate yet")
        return self._context

    def tend(self) -> None:
        """Look whether something is due, now and then. To be called every second or so."""
        if self._clock() < self._next:
            return
        try:
            done = self._tend()
        except (ApiError, ApiUnreachableError, msgspec.MsgspecError, ssl.SSLError) as error:
            done = False
            self._fail(error)
        self._next = self._clock() + (LOOK_SECONDS if done else _RETRY_SECONDS)

    def _tend(self) -> bool:
        """Bring everything up to date; whether that is done."""
        secret = _object.decode(self._api.get(self._secret))
        data = secret.get("data")
        found = Certificates.of_secret(data if isinstance(data, Mapping) else {})
        wanted = renewed(found, self._hosts, datetime.fromtimestamp(self._wall(), UTC))
        if wanted != found:
            version = (secret.get("metadata") or {}).get("resourceVersion")
            self._api.patch(self._secret, {"metadata": {"resourceVersion": version}, "data": wanted.as_secret()})
            _log.info("the certificate is renewed", until=_day(wanted.expires))
        self._register(wanted.authorities)  # before it is used: nobody meets a certificate that is not trusted
        if wanted != self._known:
            self._context, self._known = serving_context(wanted), wanted
            _log.info("serving with another certificate", until=_day(wanted.expires))
        self._said = ""
        return True

    def _register(self, authorities: bytes) -> None:
        """Have API servers trust the authorities."""
        self.registered, bundle = False, base64.b64encode(authorities).decode()
        configuration = _object.decode(self._api.get(self._configuration))
        webhooks = [each for each in configuration.get("webhooks") or () if isinstance(each, dict)]
        wanted = [{**each, "clientConfig": {**each.get("clientConfig", {}), "caBundle": bundle}} for each in webhooks]
        if wanted != webhooks:
            version = (configuration.get("metadata") or {}).get("resourceVersion")
            body = {"metadata": {"resourceVersion": version}, "webhooks": wanted}
            self._api.patch(self._configuration, body)
            _log.info("API servers are told to trust the certificate", webhooks=[each.get("name") for each in webhooks])
        self.registered = bool(webhooks)

    def _fail(self, error: Exception) -> None:
        """Log a standing problem once."""
        if isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT:
            return  # another was faster
        if (said := str(error)) != self._said:
            self._said = said
            remedy = "policies are stored unchecked until then: apply deploy/kustomize/components/webhook"
            _log.warning("the certificate cannot be tended", error=said, remedy=remedy)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
