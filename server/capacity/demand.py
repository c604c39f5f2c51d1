"""What is asked for: a fleet, how long its readings are kept, and the machines it may have."""

from dataclasses import dataclass

from schemas.costs import Shape

DAY_S = 86_400
PROTOCOLS = {
    "native": "rows",
    "columns": "columns",
    "influx": "lines",
    "prometheus": "samples",
    "otlp": "points",
    "senml": "packs",
    "senml-cbor": "cborpacks",
    "thingsboard": "things",
}
"""What a body is written in, as the coefficients call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Devices that send at an even pace, and who looks on."""

    devices: int
    interval_s: float
    """Between two readings of a series."""
    metrics: int
    """Series of a device."""
    batch: int | None = None
    """Readings of a request; None: each device sends all its metrics once an interval."""
    gateway: int = 1
    """Devices whose readings come in one request."""
    protocol: str = "native"
    rules: int = 0
    dashboards: int = 0
    """Sockets on `/ws` that listen to alerts."""
    alerts_per_hour: float = 0.0
    """Transitions: fired, escalated, resolved."""

    @property
    def series(self) -> int:
        """All of them."""
        return self.devices * self.metrics

    @property
    def readings_per_s(self) -> float:
        """Of the whole fleet."""
        return self.series / self.interval_s

    @property
    def readings_per_request(self) -> int:
        """As they are sent."""
        return self.batch or self.metrics * self.gateway

    @property
    def requests_per_s(self) -> float:
        """Of the whole fleet."""
        return self.readings_per_s / self.readings_per_request

    @property
    def shape(self) -> Shape:
        """Of each request."""
        return Shape(
            self.readings_per_request, min(self.readings_per_request, self.metrics * self.gateway), self.interval_s
        )

    @property
    def form(self) -> str:
        """What the coefficients call its protocol. Raises ValueError where none is called so."""
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"no protocol is called {self.protocol}: there are {', '.join(PROTOCOLS)}")
        return PROTOCOLS[self.protocol]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how long, in days."""

    retention: int
    pack_after: int = 2
    minutes: int = 90
    hours: int = 1_830


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The machines."""

    cores: int = 4
    """Of a node, for its workers alone."""
    memory_gb: float = 8.0
    """Of a node."""
    nodes: int | None = None
    """None: as many as it takes."""
    postgres_cores: int = 16
    postgres_memory_gb: float = 64.0
    disk_mb_per_s: float = 200.0
    """That PostgreSQL's log can be written with, and waited for."""
    checkpoint_s: float = 900.0
    load: float = 0.6
    """Of what is there, that shall be in use: the rest is for peaks, for a node that is lost, and for reading."""
    connections_a_worker: int
    max_connections: int
    cached_series: int
    """That a worker knows by heart."""
