"""The pages for probes and Prometheus: `/livez` (or `/healthz`), `/readyz`, `/metrics`.

Every process of the node can connect to it, so it serves only health and metrics, within the limits of `httpserver`.
"""

from http import HTTPStatus
from typing import Final, Protocol

from mnp_core.closing import Closing
from mnp_core.telemetry.health import Answer, Health
from mnp_core.telemetry.httpserver import HttpServer, Limits, ListenAddress, Page, Site
from mnp_core.telemetry.metrics import CONTENT_TYPE

DEADLINE: Final = 5.0  # seconds, for a whole request and for the whole answer to it


class Exposition(Protocol):
    """Metrics for Prometheus."""

    def text(self) -> bytes:
        """All of them, in its text format."""


class Endpoint(Closing):
    """Serves until it is closed."""

    def __init__(
        self, address: ListenAddress, *, health: Health, metrics: Exposition, deadline: float = DEADLINE
    ) -> None:
        """Begin to serve.

        Args:
            address: Where to listen.
            health: The answers to probes.
            metrics: The metrics for Prometheus.
            deadline: Seconds that a client has for its request, and again for taking the answer.

        Raises:
            UnsupportedError: This machine does not let it listen there.
        """
        site = Site(
            pages={
                "/healthz": lambda: _page(health.alive()),
                "/livez": lambda: _page(health.alive()),
                "/readyz": lambda: _page(health.readiness()),
                "/metrics": lambda: Page(HTTPStatus.OK, metrics.text(), CONTENT_TYPE),
            }
        )
        self._server = HttpServer("endpoint", address, site, Limits(deadline=deadline))
        self.address = self._server.address

    def close(self) -> None:
        """Stop serving; requests in progress are completed."""
        self._server.close()


def _page(answer: Answer) -> Page:
    status = HTTPStatus.OK if answer.good else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(status, f"{answer.text}\n".encode(errors="backslashreplace"))
