"""The express door behind a proxy: what that adds to a head changes neither the way nor the answer."""

from schemas.columns import Receipt
from schemas.errors import Unknown
from tests.unit.test_express import Door, request

PLAIN = (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: application/json")
PROXIED = (*PLAIN, b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: https", b"X-Request-Id: 4711-a")


async def test_what_a_proxy_passes_on_goes_the_short_way_under_its_id() -> None:
    door = Door()
    for headers, outcome in ((PROXIED, Receipt(1, 0)), (PROXIED, Unknown()), (PLAIN, Receipt(1, 0))):
        await door.send(request(*headers))
        door.hall.handed[-1][1](outcome)
    assert door.statuses == [200, 504, 200]
    assert door.wire.written.count(b"x-request-id: 4711-a\r\n") == 2
    assert door.wire.written.count(b"x-request-id") == 2
