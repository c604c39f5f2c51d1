"""The figures of a node, of what its workers count: sums, names, and what nobody has counted yet."""

from prometheus_client import CollectorRegistry, Gauge

from ingest.metrics import WriteMetrics
from schemas.columns import Receipt
from server.system import Room, System, figures

ROOM = Room(queue_rows=100, queue_bytes=1_000, intake_bytes=10)


def test_nothing_counted_yet_is_zero_or_unknown() -> None:
    found = figures(CollectorRegistry().collect(), ROOM)
    assert found["written"] == {"accepted": 0, "duplicates": 0, "rejected": 0, "batches": 0, "bytes": 0}
    assert (found["workers"], found["refused"]) == ([], [])
    assert found["latency"]["stored"] == {"le": [], "counts": [], "sum_s": 0}
    assert (found["webhooks"]["waiting"], found["storage"]["rollups_behind_s"]) == (None, None)
    assert found["queue"]["rows_limit"] == 100, "one worker answers this at least"


def test_a_group_is_seen_in_every_stage() -> None:
    registry = CollectorRegistry()
    metrics = WriteMetrics(registry)
    metrics.flushed(0.003, 0.004, 7, [Receipt(5, 0), Receipt(1, 1)], 0)
    metrics.refused.labels("429", "quota").inc(2)
    metrics.refused.labels("503", "overloaded").inc(3)
    metrics.waiting(20, 300)
    found = figures(registry.collect(), ROOM)
    assert found["written"] | {"bytes": 0} == {"accepted": 6, "duplicates": 1, "rejected": 0, "batches": 2, "bytes": 0}
    assert found["refused"] == [
        {"status": "503", "code": "overloaded", "count": 3},
        {"status": "429", "code": "quota", "count": 2},
    ]
    assert (found["queue"]["rows"], found["queue"]["bytes"]) == (20, 300)
    stored, queue = found["latency"]["stored"], found["latency"]["queue"]
    assert abs(stored["sum_s"] - 0.007) < 1e-9
    assert len(stored["counts"]) == len(stored["le"]) + 1
    assert dict(zip(stored["le"], stored["counts"], strict=False))[0.005] == 0
    assert dict(zip(queue["le"], queue["counts"], strict=False))[0.005] == 1
    assert stored["counts"][-1] == 1


def test_limits_are_of_as_many_workers_as_there_are() -> None:
    registry = CollectorRegistry()
    started = Gauge("sluice_worker_started_seconds", "", ["pid"], registry=registry)
    for pid in (10, 9):
        started.labels(str(pid)).set(1_800_000_000)
    found = figures(registry.collect(), ROOM)
    assert [worker["pid"] for worker in found["workers"]] == [9, 10]
    assert found["workers"][0]["started_at"] == "2027-01-15T08:00:00Z"
    assert found["queue"]["bytes_limit"] == 2_000


async def test_a_sample_is_taken_once_for_all_who_ask() -> None:
    asked = []

    async def trouble() -> str | None:
        asked.append(1)
        return "PostgreSQL is away"

    system = System(CollectorRegistry(), ROOM, "1.2.3")
    first, second = await system.sample(trouble), await system.sample(trouble)
    assert first is second
    assert len(asked) == 1
    assert (first["asked"]["ready"], first["asked"]["reason"], first["version"]) == (
        False,
        "PostgreSQL is away",
        "1.2.3",
    )
