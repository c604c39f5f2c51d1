"""What every answer tells a browser, whoever answers; and that no other site's page may ask."""

import json
import shutil
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from playwright.async_api import async_playwright

from tests.acceptance.browsing import FLAGS
from tests.acceptance.scopes import SCOPES
from tests.acceptance.test_scopes import FILES, OPEN, OPEN_PAGES, elsewhere, example
from tests.conftest import Server

FOREIGN = "https://evil.example"
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CLOSED = "default-src 'none'; frame-ancestors 'none'"
PAGES = {"/", "/docs", "/redoc", "/dashboard/main.js", "/dashboard/shell.css"}


def policy(headers: Mapping[str, str]) -> dict[str, list[str]]:
    """The directives of a Content-Security-Policy."""
    parts = [part.split() for part in headers["Content-Security-Policy"].split(";")]
    return {name: values for name, *values in parts}


def check(headers: Mapping[str, str], path: str) -> None:
    """What every answer has, and that its policy lets nothing in from anywhere else."""
    for name, value in EVERYWHERE.items():
        assert headers.getall(name) == [value], f"{path}: {name}"  # type: ignore[attr-defined]
    directives = policy(headers)
    assert directives["default-src"] == ["'none'"]
    assert directives["frame-ancestors"] == ["'none'"]
    allowed = {value for name, values in directives.items() for value in values if name != "style-src"}
    assert not allowed & {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "http:"}, path
    assert not [value for value in allowed if "//" in value], f"{path} may load from elsewhere"
    if path not in PAGES:
        assert headers["Content-Security-Policy"] == CLOSED, path
    assert headers["Cache-Control"] == ("no-cache" if path in PAGES else "no-store"), path
    assert not [name for name in headers if name.lower().startswith("access-control-")], path
    assert "Server" not in headers


async def test_every_answer(shared_server: Server) -> None:
    asked = [(method, path) for method, path in SCOPES] + [("get", path) for path in OPEN | OPEN_PAGES | PAGES]
    asked += [
        ("get", "/nothing"),
        ("put", "/healthz"),
        ("get", "/dashboard/nothing"),
        ("get", "/static-offline-docs/x"),
    ]
    asked += [("get", "/static-offline-docs/swagger-ui.css")]
    assert len(FILES) == 2, "something is served that is not asked for here"
    statuses = set()
    async with elsewhere() as http:
        for method, path in asked:
            for headers in ({}, shared_server.headers()):
                sent: dict[str, Any] = {"headers": headers | {"Origin": FOREIGN}, "json": {"nonsense": 1}}
                async with http.request(method, shared_server.url + example(path), **sent) as response:
                    statuses.add(response.status)
                    check(response.headers, path)
    assert {200, 401, 404, 405, 422} <= statuses


async def test_the_express_door(shared_server: Server) -> None:
    batch = {"device": "pump-1", "readings": []}
    body = json.dumps(batch).encode()
    statuses = set()
    # A connector of one connection, so that the worker knows the key the second time: that answer is the short way's.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), skip_auto_headers={"User-Agent"}) as http:
        for data in (body, body, b"[]", b"{", b"{"):
            headers = shared_server.headers() | {"Content-Type": "application/json"}
            async with http.post(f"{shared_server.url}/v1/readings", data=data, headers=headers) as response:
                statuses.add(response.status)
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Cache-Control"] == "no-store"
                assert "Access-Control-Allow-Origin" not in response.headers
    assert statuses == {200, 400}


async def test_a_page_of_another_site_may_not_ask(shared_server: Server) -> None:
    for method, path in SCOPES:
        preflight = {
            "Origin": FOREIGN,
            "Access-Control-Request-Method": method.upper(),
            "Access-Control-Request-Headers": "authorization",
        }
        async with shared_server.http.options(shared_server.url + example(path), headers=preflight) as response:
            assert response.status in (401, 405)  # as any request without a key, or where a route knows no such method
            assert not [name for name in response.headers if name.lower().startswith("access-control-")], path


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Debian's package chromium")
async def test_the_documentation_works_under_its_policy(shared_server: Server) -> None:
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS])
        try:
            page = await browser.new_page()
            page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
            for path, shown in {"/docs": ".opblock-summary", "/redoc": "[data-section-id]"}.items():
                await page.goto(shared_server.url + path)
                await page.locator(shown).first.wait_for(timeout=60_000)
        finally:
            await browser.close()
    # ReDoc asks its makers for their logo: just what the policy is there to stop.
    assert not [text for text in complaints if "logo-mini.svg" not in text or "has been blocked" not in text]
