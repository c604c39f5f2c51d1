"""Users that try what their key may not do."""

from contextlib import suppress
from itertools import cycle
from typing import Any

from locust import FastHttpUser, constant_throughput, task

from load.batch import Batch, Layout
from load.device import PATH
from load.scenarios.api import Api, ApiError
from load.scenarios.sender import now
from load.scenarios.share import share_of


class TrespasserUser(FastHttpUser):
    """Once a second writes for a device that is not its own, or asks for what a key that may only write may not."""

    wait_time = constant_throughput(1.0)
    network_timeout, connection_timeout = 30.0, 5.0
    key_id = ""

    def on_start(self) -> None:
        """Get a key that is good for one device."""
        self.share = share_of(self.environment)
        device = f"{self.share.prefix}-trespasser"
        wanted = {"name": device, "scopes": ["ingest"], "device_glob": device}
        made = Api(self.share.url, self.share.key).post("/v1/keys", wanted)
        self.key_id, self.headers = made["id"], {"Authorization": f"Bearer {made['key']}"}
        self.attempts = cycle([("POST", PATH), ("GET", "/v1/devices"), ("GET", "/v1/keys")])

    def on_stop(self) -> None:
        """Give the key back."""
        with suppress(ApiError):
            Api(self.share.url, self.share.key, patience_s=5).delete(f"/v1/keys/{self.key_id}")

    @task
    def trespass(self) -> None:
        """Try the next thing; to be refused is success, and what was not answered at all is tried again later."""
        if self.share.calm:
            return
        method, path = next(self.attempts)
        body: dict[str, Any] = {}
        if method == "POST":
            body["json"] = Batch(f"{self.share.prefix}-not-mine", [now()], {"level": [1.0]}).document(Layout.COLUMNS)
        with self.client.request(
            method, path, headers=self.headers, catch_response=True, name=f"{path}, without a right to", **body
        ) as response:
            status = int(response.status_code or 0)
            if status == 403:
                response.success()
            elif 200 <= status < 300:
                response.failure(f"{status}: let in")
                self.share.let_in += 1
