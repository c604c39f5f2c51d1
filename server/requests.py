"""Rate, errors and duration of the requests that went through the app, by route; those of the express door are counted
by the write path (`ingest/metrics.py`).
"""

from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.routing import BaseRoute
from starlette.types import Scope

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
NO_ROUTE = "none"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class RequestMetrics:
    """Labels are the app's routes, never what a sender wrote: their number is bounded."""

    def __init__(self, registry: CollectorRegistry | None, routes: Sequence[BaseRoute]) -> None:
        # A route that was found knows not what its router was included under. By identity: some cannot be hashed.
        self._paths = {id(context.original_route): context.path_format for context in iter_route_contexts(routes)}
        self._seconds = Histogram(
            "sluice_http_seconds",
            "A request through the app, from its head to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "sluice_http_errors",
            "Requests through the app answered with 400 and above.",
            ["route", "status"],
            registry=registry,
        )

    def note(self, scope: Scope, status: int, seconds: float) -> str:
        """One was answered, with this status; returns its route."""
        route = self.route_of(scope)
        self._seconds.labels(route).observe(seconds)
        if status >= 400:
            self._errors.labels(route, status).inc()
        return route

    def route_of(self, scope: Scope) -> str:
        """`GET /v1/devices/{device}`; `none` where no route was found."""
        path = self._paths.get(id(scope.get("route")))
        return NO_ROUTE if path is None or scope["method"] not in _METHODS else f"{scope['method']} {path}"
