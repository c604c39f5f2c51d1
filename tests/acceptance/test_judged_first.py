"""Who may not do a thing hears that, whatever else is wrong with the request: the whole table of routes is walked."""

import re

from schemas.keys import Scope
from tests.acceptance.scopes import SCOPES
from tests.acceptance.test_scopes import BOUND_REFUSED, example
from tests.conftest import StartServer

BAD = "limit=nonsense&limit=1e9&cursor=%21&state=nonsense&severity=x&after=-1&from=x&to=y&agg=z&partial=perhaps&rule=0"
BAD += f"&device={129 * 'x'}"
BODIES: tuple[tuple[str, bytes], ...] = (
    ("application/json", b"{"),
    ("application/json", b"[1]"),
    ("text/plain", b"s3cretValue"),
    ("application/json", b"\xff"),
)


async def test_who_may_not_hears_that_before_what_is_wrong_with_the_request(start_server: StartServer) -> None:
    """Parameters, names in the path and bodies are judged for those who may ask, and for nobody else."""
    server = await start_server(workers=1)
    keys = {scope.value: await server.key(scope.value) for scope in (Scope.INGEST, Scope.READ)}
    bound = await server.key("admin", device_glob="pump-*")
    heard = {}
    for (method, path), needed in SCOPES.items():
        wrong = {name: key for name, key in keys.items() if name != needed}
        if (method, path) in BOUND_REFUSED:
            wrong["bound"] = bound
        for name, key in wrong.items():
            for target in (example(path), re.sub(r"{[^}]*}", "NO%20ID", path)):
                for kind, body in BODIES:
                    url, headers = f"{server.url}{target}?{BAD}", server.headers(key) | {"Content-Type": kind}
                    sent = None if method == "get" else body
                    async with server.http.request(method, url, headers=headers, data=sent) as response:
                        if response.status != 403:
                            heard[method, target, name, sent] = response.status
    assert not heard
