"""Users that write and cross no limit: devices, gateways, devices of other protocols."""

import random
from contextlib import suppress

from locust import constant_throughput

from load.batch import Batch
from load.scenarios.api import Api, ApiError
from load.scenarios.dialects import FOREIGN
from load.scenarios.sender import Sender

AGAIN = 0.05
"""So often a device sends some of its last batch with the next one, as one that is not sure how much was taken."""


class DeviceUser(Sender):
    """A device: once a second what its four sensors sensed, five times each."""

    role, samples, metrics = "device", 5, 4
    readings = samples * metrics
    wait_time = constant_throughput(Sender.per_s)
    before: Batch | None = None

    def send(self) -> None:
        """Send the last second; now and then with the end of the one before it.

        From any of its times on: a batch that comes again whole also runs against the keys of PostgreSQL's tables, and
        would be refused even where nobody looks for duplicates.
        """
        batch, again = self.sensed(self.device, self.due(self.samples), self.metrics), []
        if self.before is not None and random.random() < AGAIN:
            again = [self.before.since(random.randrange(self.samples))]
        stored = self.deliver([*again, batch], known=sum(map(len, again)))
        self.before = batch if stored else None


class BurstUser(DeviceUser):
    """A device that was away, and has more to say."""

    role, samples = "burst", 25
    readings = samples * DeviceUser.metrics


class ForeignUser(Sender):
    """A device that speaks another protocol, each the next one."""

    role, samples, metrics = "foreign", 5, 4
    readings = samples * metrics
    key_id = ""
    wait_time = constant_throughput(Sender.per_s)

    def on_start(self) -> None:
        """Choose the protocol."""
        super().on_start()
        self.dialect = FOREIGN[int(self.device.rpartition("-")[2]) % len(FOREIGN)]
        if "{key}" in self.dialect.path:
            wanted = {"name": self.device, "scopes": ["ingest"], "device_glob": self.device}
            made = Api(self.share.url, self.share.key).post("/v1/keys", wanted)
            self.key, self.key_id = made["key"], made["id"]

    def on_stop(self) -> None:
        """Give back what was made."""
        super().on_stop()
        if self.key:
            with suppress(ApiError):
                Api(self.share.url, self.share.key, patience_s=5).delete(f"/v1/keys/{self.key_id}")

    def send(self) -> None:
        """Send the last second."""
        self.deliver([self.sensed(self.device, self.due(self.samples), self.metrics)])


class GatewayUser(Sender):
    """A gateway: once a second a request with the readings of its fifty devices."""

    role, devices, samples, metrics = "gateway", 50, 5, 4
    readings = devices * samples * metrics
    compress = True
    wait_time = constant_throughput(Sender.per_s)

    def send(self) -> None:
        """Send the last second of all of them."""
        moments = self.due(self.samples)
        self.deliver([self.sensed(f"{self.device}-{n}", moments, self.metrics) for n in range(self.devices)])


class ClimbingUser(Sender):
    """One of those by whose number the knee is found."""

    role, samples, metrics, per_s = "climb", 100, 5, 2.0
    readings = samples * metrics
    wait_time = constant_throughput(per_s)

    def send(self) -> None:
        """Send the last half second of a fast machine."""
        self.deliver([self.sensed(self.device, self.due(self.samples), self.metrics)])
