"""Somebody who has logged in: a session over HTTP, as a browser has one."""

import http.cookies
import json
from typing import Any, Self

import aiohttp

from tests.conftest import Server

CSRF = "X-CSRF-Token"


class Login:
    """What a browser holds, and what it sends along."""

    def __init__(self, server: Server, set_cookie: str, view: dict[str, Any]) -> None:
        self.server, self.set_cookie, self.view = server, set_cookie, view
        (self.morsel,) = http.cookies.SimpleCookie(set_cookie).values()
        self.cookie = {"Cookie": f"{self.morsel.key}={self.morsel.value}"}
        self.csrf = {CSRF: view["csrf"]}

    @classmethod
    async def begin(cls, server: Server, key: str | None = None, **headers: str) -> Self:
        """Exchange a key for a session."""
        sent = server.headers(key) | headers
        async with server.http.post(f"{server.url}/v1/session", headers=sent) as response:
            server.http.cookie_jar.clear()  # cookies go only where a test says so
            assert response.status == 201, await response.text()
            return cls(server, response.headers["Set-Cookie"], await response.json())

    async def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: Any = None,
        by: aiohttp.ClientSession | None = None,
    ) -> tuple[int, Any]:
        """A request with the cookie, and whatever else a test has sent along."""
        url, sent = self.server.url + path, self.cookie | (headers or {})
        async with (by or self.server.http).request(method, url, headers=sent, json=body) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type.endswith("json") else text
