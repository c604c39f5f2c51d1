"""Fuzzing from the OpenAPI document: each operation with values that fit its schema, and with some that do not."""

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from typing import Any
from unittest import SkipTest

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from tests.acceptance.catalogue.site import resident_bytes
from tests.conftest import Server, StartServer

SEED = int(os.environ.get("SLUICE_FUZZ_SEED", random.SystemRandom().randrange(1 << 32)))
GROWTH_BYTES = 64 << 20
SHORT, LONG = 3, 400
"""Examples of each operation and mode."""


@schemathesis.serializer("application/x-protobuf")
def raw(_context: object, value: object) -> bytes:
    """A message as whatever was made up: the decoders' own fuzz has real ones."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


class Prober:
    """Sends cases, and judges what comes back."""

    def __init__(self, server: Server, examples: int) -> None:
        self.outcomes: Counter[int] = Counter()
        self._server, self._examples = server, examples
        self._http = requests.Session()
        self._document: dict[str, Any] = {}

    def run(self) -> None:
        """Try every operation of the document, in both modes."""
        schema = schemathesis.openapi.from_url(f"{self._server.url}/openapi.json")
        self._document = schema.raw_schema
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                strategy = operation.as_strategy(generation_mode=mode)

                @seed(SEED)
                @settings(
                    max_examples=self._examples, database=None, deadline=None, suppress_health_check=list(HealthCheck)
                )
                @given(strategy)
                def probe(case: Case[Any]) -> None:
                    self._send(case)

                with suppress(Unsatisfiable, SkipTest):  # without parameters there is nothing that could be wrong
                    probe()
        self._http.close()

    def _send(self, case: Case[Any]) -> None:
        answer = case.call(session=self._http, headers=self._server.headers(), timeout=20)
        self.outcomes[answer.status_code] += 1
        place = f"{case.method} {case.path}, seed {SEED}: {answer.status_code} {answer.text[:500]}"
        assert answer.status_code < 500 or (answer.status_code == 503 and "retry-after" in answer.headers), place
        if answer.status_code >= 400:
            assert len(answer.content) <= 4_096, place
            [kind] = answer.headers["content-type"]
            assert kind.partition(";")[0] in error_kinds(self._document, case.operation.path, case.method.lower()), (
                place
            )


def error_kinds(document: dict[str, Any], path: str, method: str) -> set[str]:
    """The media types of an operation's errors; ours, where it documents none."""
    found: set[str] = set()
    for status, response in document["paths"][path][method]["responses"].items():
        shared = response.get("$ref", "").rpartition("/")[2]
        if not status.startswith(("1", "2", "3")):
            found.update((document["components"]["responses"][shared] if shared else response).get("content", {}))
    return found or {"application/problem+json"}


@pytest.mark.parametrize("examples", [SHORT, pytest.param(LONG, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
async def test_every_operation_of_the_document(start_server: StartServer, examples: int) -> None:
    server = await start_server(workers=2, max_cached_series=1_000)
    before = {pid: resident_bytes(pid) for pid in server.supervisor.pids}
    prober = Prober(server, examples)
    await asyncio.to_thread(prober.run)
    grown = {pid: (resident_bytes(pid) - size) >> 10 for pid, size in before.items()}  # a dead worker has no file
    print(f"\n{prober.outcomes.total()} inputs, seed {SEED}: {dict(prober.outcomes.most_common())}; up {grown} KiB")  # noqa: T201
    assert {200, 422} <= set(prober.outcomes)
    assert max(grown.values()) < GROWTH_BYTES >> 10
