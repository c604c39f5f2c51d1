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


class Prober:
    """Sends cases, and judges what comes back."""

    def __init__(self, server: Server, examples: int) -> None:
        self.outcomes: Counter[int] = Counter()
        self._server, self._examples = server, examples
        self._http = requests.Session()

    def run(self) -> None:
        """Try every operation of the document, in both modes."""
        schema = schemathesis.openapi.from_url(f"{self._server.url}/openapi.json")
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
            assert answer.headers["content-type"] == ["application/problem+json"], place


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
