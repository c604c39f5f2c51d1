"""The questions that a load test asks its target beside the load: patient, and in sentences when it fails."""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

TIMEOUT_S = 30.0
PATIENCE_S = 60.0
"""So long a question is asked again that was answered 503 or 429, or not at all."""
AGAIN_S = 0.3
TEXT_CHARS = 200


class ApiError(Exception):
    """A question has no answer; the message says what to do."""


class Api:
    """A client of one target with one key."""

    def __init__(self, url: str, key: str, patience_s: float = PATIENCE_S) -> None:
        self._url = url
        self._parts = urlsplit(url)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._patience_s = patience_s
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **params: Any) -> Any:
        """The JSON behind a path."""
        return json.loads(self._ask("GET", _with(path, list(params.items()))))

    def csv(self, path: str, params: list[tuple[str, str]]) -> str | None:
        """Lines of CSV; None where there is no such device."""
        text = self._ask("GET", _with(path, params), {"Accept": "text/csv"}, absent=True)
        return None if text is None else text.decode()

    def post(self, path: str, document: Any) -> Any:
        """What was made."""
        return json.loads(self._ask("POST", path, {"Content-Type": "application/json"}, json.dumps(document).encode()))

    def delete(self, path: str) -> None:
        """Delete it, if it is there."""
        self._ask("DELETE", path, absent=True)

    def _ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        absent: bool = False,
    ) -> Any:
        deadline, trouble = time.monotonic() + self._patience_s, ""
        while True:
            try:
                status, text = self._once(method, path, {**self._headers, **(headers or {})}, body)
            except (OSError, http.client.HTTPException) as error:
                self._close()
                status, trouble = 0, f"nobody answers at {self._url} ({error!r})"
            if 200 <= status < 300:
                return text
            if status == 404 and absent:
                return None
            if status in (401, 403):
                raise ApiError(
                    f"{status} for {method} {path}: the key has to have the scope admin; "
                    "`sluice key create load --scope admin` makes one, SLUICE_KEY or --key-file hands it over"
                )
            if status:
                trouble = f"{status} for {method} {path}: {text[:TEXT_CHARS].decode(errors='replace')}"
            if (status and status not in (429, 503)) or time.monotonic() > deadline:
                raise ApiError(trouble if status else f"{trouble}: is it running? Without --url one is started")
            time.sleep(AGAIN_S)

    def _once(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            self._connection = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_S)
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _with(path: str, params: list[tuple[str, Any]]) -> str:
    return f"{path}?{urlencode(params)}" if params else path
