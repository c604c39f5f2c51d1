"""Foreign writes at the express door: which way they go, and in whose words they are answered."""

import asyncio

import pytest

from ingest.foreign.table import DOORS, _express, express
from schemas.columns import PartReceipt
from schemas.errors import Unknown
from tests.unit.test_express import Door, request


@pytest.mark.parametrize("key", [b"Token slk_a_b", b"Basic OnNsa19hX2I=", b"Bearer slk_a_b"])
async def test_a_foreign_write_takes_the_short_way_and_is_answered_in_its_words(key: bytes) -> None:
    door = Door()
    for target, path in ((b"POST /api/v2/write?org=o&precision=s", b"/api/v2/write"), (b"POST /write?db=a", b"/write")):
        door.wire.written = b""
        await door.send(request(b"Host: a", b"Authorization: " + key, target=target, body=b"m,host=a v=1"))
        ((_, reply),) = door.hall.handed
        door.hall.handed.clear()
        assert door.hall.foreign is not None
        assert door.hall.foreign[0] is DOORS[path.decode()]
        reply(PartReceipt(1, 0, 2))
        assert door.statuses == [204]
        assert b"content-length" not in door.wire.written.lower()
        assert b"X-Sluice-Skipped: 2" in door.wire.written
    await door.send(request(b"Host: a", b"Authorization: " + key, target=target, body=b"m,host=a v=1"))
    door.hall.handed[0][1](Unknown())
    assert b'{"error":"COMMIT was sent' in door.wire.written


@pytest.mark.parametrize(
    "target", [b"POST /write?precision=x", b"POST /query?q=a", b"GET /write", b"POST /api/v2/writes"]
)
async def test_what_is_not_plain_of_a_foreign_protocol_goes_the_long_way(target: bytes) -> None:
    door = Door()
    await door.send(request(target=target))
    assert door.statuses == [299]


async def test_a_foreign_body_that_does_not_come_is_503() -> None:
    door = Door()
    await door.send(request(target=b"POST /write?db=a")[:-3])
    await asyncio.sleep(0.5)
    assert door.statuses == [503]
    assert b"Retry-After: 1" in door.wire.written


async def test_of_two_keys_the_first_counts_at_every_door() -> None:
    door = Door()
    await door.send(request(b"Host: a", b"Authorization: x", b"Authorization: Bearer slk_a_b", target=b"POST /write"))
    assert door.statuses == [299]


async def test_a_key_in_the_path_and_a_kind_at_our_own_path_take_the_short_way() -> None:
    door = Door()
    await door.send(request(b"Host: a", target=b"POST /api/v1/slk_a_b/telemetry", body=b'{"t":1}'))
    assert door.hall.foreign is not None
    assert door.hall.foreign[0] is DOORS["/api/v1/{key}/telemetry"]
    door.hall.handed.pop()[1](PartReceipt(1, 0, 2))
    assert door.statuses == [200]
    assert b"X-Sluice-Skipped: 2\r\ncontent-length: 0\r\n" in door.wire.written
    for key in (b"slk_a_c", b"slk%5Fa%5Fb", b"x"):
        await door.send(request(b"Host: a", target=b"POST /api/v1/" + key + b"/telemetry"))
    assert door.statuses == [200, 299, 299, 299]
    door.wire.written = b""
    kind = b"Content-Type: application/senml+cbor"
    await door.send(request(b"Host: a", b"Authorization: Bearer slk_a_b", kind, target=b"POST /v1/readings"))
    assert door.hall.foreign[0].format == "senml"
    door.hall.handed.pop()[1](PartReceipt(1, 0, 2))
    assert door.wire.written.endswith(b'{"accepted":1,"duplicates":0,"skipped":2}')
    assert express_lookups_hold_no(b"slk_a_b")


def express_lookups_hold_no(key: bytes) -> bool:
    """Whether what is remembered of URLs has no key in it."""
    first, second = express(b"/api/v1/" + key + b"/telemetry", b""), express(b"/api/v1/other/telemetry", b"")
    before = _express.cache_info().currsize
    return first is second and _express.cache_info().currsize == before
