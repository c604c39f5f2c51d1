"""The main job, end to end: a reading crosses a threshold here, a dashboard on another worker sees it."""

from tests.conftest import Server


async def test_a_reading_is_stored(running_server: Server) -> None:
    batch = {
        "device": "pump-7",
        "readings": [{"ts": "2026-11-20T10:00:00.123Z", "metric": "temperature", "value": 21.5}],
    }
    assert await running_server.write(batch) == (200, {"accepted": 1, "duplicates": 0})
    assert await running_server.write(batch) == (200, {"accepted": 0, "duplicates": 1})
    rows = await running_server.fetch("SELECT device, metric, value FROM telemetry")
    assert [tuple(row) for row in rows] == [("pump-7", "temperature", 21.5)]
