"""What is secret is nowhere but where it belongs: not in logs, answers or tables, whatever goes wrong."""

import asyncio
import contextlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import asyncpg
import pytest

from server.local import LocalServices
from server.supervisor import Supervisor
from tests.acceptance.sluice import environment, sluice
from tests.conftest import Server, StartServer
from tests.proxy import Proxy, through

WEBHOOK_KEY = "a-webhook-key-nobody-may-read"
WRONG = "a-wrong-but-real-password"
TOKENS = ("hook-path-secret", "hook-query-secret", "hook-user-secret")
HOOK = f"http://me:{TOKENS[2]}@127.0.0.1:9/{TOKENS[0]}?token={TOKENS[1]}"
RULE = {
    "name": "hot",
    "device": "*",
    "metric": "t",
    "condition": {"type": "threshold", "levels": [{"severity": "warning", "above": 70}]},
    "webhooks": [HOOK],
}
# A defect, as it would be somewhere deep in the server: secrets in the message, in a value, in a variable beside it.
DEFECT = """
import os, sys, structlog
from server import logs
from server.settings import Settings
settings = Settings()
logs.configure(settings)
secret = settings.database
def broken(url):
    raise RuntimeError(f"cannot use {url!r} with {settings.webhook_key.get_secret_value()} and {os.environ['A_KEY']}")
log = structlog.get_logger("test")
try:
    broken(secret)
except RuntimeError as error:
    log.exception("a request broke", url=secret, headers={"authorization": "Bearer " + os.environ["A_KEY"]})
    log.warning("database away", error=repr(error))
broken(secret)
"""


def password(url: str) -> str:
    """The password in a URL."""
    found = urlsplit(url).password
    assert found
    return unquote(found)


def check(written: str, secrets: list[str], *present: str) -> None:
    """No secret is in what was written; and something was: a silent server would pass otherwise."""
    for text in present:
        assert text in written, written[-3_000:]
    for secret in secrets:
        assert len(secret) >= 12
        assert secret not in written, written[max(0, written.index(secret) - 500) :][:1_000]


async def bad_manners(server: Server, key: str) -> str:
    """Put keys where they do not belong, and be refused in many ways; gives all that was answered."""
    url, answers = server.url, []
    secret = key.rpartition("_")[2]
    for method, path, sent in (
        ("GET", f"/v1/devices?token={key}", {}),
        ("GET", f"/v1/devices/{key}?key={key}", {}),
        ("POST", f"/api/v1/{key}/telemetry", {"json": {"t": 1}}),
        ("POST", "/v1/readings", {"data": f'{{"device": "{key}", "readings": [{{]', "headers": server.headers(key)}),
        ("POST", "/v1/readings", {"json": {"device": "p", "nonsense": key}, "headers": server.headers(key)}),
        ("POST", "/v1/keys", {"json": {"name": "n", "scopes": [key]}, "headers": server.headers()}),
        ("POST", "/v1/rules", {"json": RULE | {"webhooks": ["no url " + TOKENS[0]]}, "headers": server.headers()}),
        ("GET", "/v1/devices", {"headers": {"Authorization": f"Bearer slk_zz_{secret}"}}),
        ("GET", "/v1/devices", {"headers": {"X-API-Key": key + "x"}}),
    ):
        async with server.http.request(method, url + path, **sent) as response:
            assert response.status >= 400
            answers.append(await response.text())
    with contextlib.suppress(aiohttp.ClientError):
        async with server.http.ws_connect(f"{url}/ws?token={key}") as socket:
            await socket.send_str(json.dumps({"id": 1, "connect": {"token": key + "x"}}))
            await socket.receive(timeout=5)
    return "".join(answers)


async def tried(server: Server) -> None:
    """Have the rule fire, and its webhook be tried in vain."""
    assert (await server.call("POST", "/v1/rules", RULE))[0] == 201
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reading = {"ts": time.time_ns() // 1_000_000, "metric": "t", "value": 99}
        assert (await server.write({"device": "p", "readings": [reading]}))[0] == 200
        if found := await server.fetch("SELECT last_error FROM webhook_deliveries WHERE last_error IS NOT NULL"):
            assert not any(token in found[0][0] for token in TOKENS)
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no webhook was tried")


async def tables(database: str) -> str:
    """Everything in the database, but what has to hold a secret: targets, and the key that signs."""
    connection = await asyncpg.connect(database)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        kept = sorted({name[0] for name in names} - {"rules", "webhook_deliveries", "webhook_leases", "webhook_key"})
        assert {"keys", "audit", "alerts", "alert_events"} <= set(kept)
        rows = [await connection.fetch(f'SELECT t::text FROM "{name}" t') for name in kept]  # noqa: S608
        return "\n".join(row[0] for each in rows for row in each)
    finally:
        await connection.close()


async def test_a_server_in_trouble(
    start_server: StartServer, database: str, services: LocalServices, capfd: pytest.CaptureFixture[str]
) -> None:
    parts = urlsplit(database)
    assert parts.hostname
    assert parts.port
    async with Proxy(parts.hostname, parts.port) as proxy:
        url = through(database, proxy, sslmode="disable")
        server = await start_server(
            workers=1, database_url=url, log_level="debug", log_format="json", webhook_key=WEBHOOK_KEY
        )
        keys = [await server.key("read", "ingest"), await server.key("ingest"), server.admin_key]
        secrets = [*(key.split("_", 2)[2] for key in keys), WEBHOOK_KEY, password(database), *TOKENS]
        secrets.append(password(services.redis_url))
        answers = await bad_manners(server, keys[0])
        await tried(server)
        stored = await tables(database)
        await proxy.__aexit__()
        for key in (*keys, "slk_unknown_" + WRONG):
            answers += json.dumps((await server.call("GET", "/v1/devices", key=key))[1])
            answers += json.dumps((await server.write({"device": "p", "readings": []}, key))[1])
        assert (await server.call("GET", "/readyz"))[0] == 503
    out, err = capfd.readouterr()
    check(out + err, secrets, '"event": "refused"', '"event": "keys refused"', "database away", "slk_")
    check(answers, secrets, "unauthorized", "invalid", "database_away")
    check(stored, [secret for secret in secrets if secret not in TOKENS], "test")
    for line in err.splitlines():
        assert isinstance(json.loads(line), dict)


async def test_a_server_with_wrong_passwords(
    database: str, services: LocalServices, capfd: pytest.CaptureFixture[str]
) -> None:
    urls: dict[str, str] = {
        "SLUICE_DATABASE_URL": database.replace(urlsplit(database).password or "", WRONG),
        "SLUICE_REDIS_URL": services.redis_url.replace(urlsplit(services.redis_url).password or "", WRONG),
    }
    assert all(WRONG in url for url in urls.values())
    key = "slk_unknown_" + WRONG
    async with Supervisor("127.0.0.1", 0, 1, urls | {"SLUICE_LOG_LEVEL": "debug"}) as supervisor:
        url = f"http://127.0.0.1:{supervisor.port}"
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
            for path in ("/readyz", "/v1/devices"):
                async with http.get(url + path) as response:
                    assert response.status == 503
                    assert WRONG not in await response.text()
            await asyncio.sleep(1.0)  # for the bus, the election and the rules to complain
    out, err = capfd.readouterr()
    check(out + err, [WRONG, password(database)], "password authentication failed")


async def run(folder: Path, script: str, **variables: str) -> str:
    """What a script writes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        cwd=folder,
        env=environment(**variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 1
    return out.decode()


async def test_defects_and_commands(database: str, services: LocalServices, tmp_path: Path) -> None:
    awkward = "pa%22ss%2Fw%C3%B6rd-nobody-may-read"
    key = "slk_abc_" + WRONG
    wrong = database.replace(urlsplit(database).password or "", awkward)
    urls = {"SLUICE_DATABASE_URL": wrong, "SLUICE_REDIS_URL": services.redis_url, "SLUICE_WEBHOOK_KEY": WEBHOOK_KEY}
    unencoded = {"SLUICE_DATABASE_URL": "postgresql://sluice:first/half-and-second-half@127.0.0.1/x"}
    defects = [run(tmp_path, DEFECT, SLUICE_LOG_FORMAT=kind, A_KEY=key, **urls) for kind in ("json", "console")]
    written = await asyncio.gather(*defects)
    done = [await sluice(tmp_path, "doctor", **urls)]
    done += await asyncio.gather(*(sluice(tmp_path, "key", "list", **variables) for variables in (urls, unencoded)))
    secrets = [awkward, unquote(awkward), "nobody-may-read", WEBHOOK_KEY, WRONG, password(services.redis_url)]
    secrets += ["first/half-and-second-half", "half-and-second-half"]
    for text in written:
        check(text, secrets, "Traceback", "slk_abc_***", "a request broke", "a defect ended the process")
    for ended in done:
        assert ended.code == 1
        check(ended.out + ended.err, secrets, "SLUICE_DATABASE_URL" if "percent" in ended.err else "password")
    doctor: dict[str, Any] = dict(re.findall(r"^(SLUICE_\w+) +(\S*)", done[0].out, re.MULTILINE))
    assert doctor["SLUICE_WEBHOOK_KEY"] == "***"
    assert ":***@127.0.0.1" in doctor["SLUICE_DATABASE_URL"]
