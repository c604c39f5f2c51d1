"""The express door behind a proxy: what that adds to a head changes neither the way nor the answer."""

from schemas.columns import Receipt
from schemas.errors import Unknown
from tests.unit.test_express import Door, request

PLAIN = (b"Host: a", b"Authorization: Bearer slk_a_b", b"Content-Type: application/json")
PROXIED = (*PLAIN, b"X-Forwarded-For: 192.0.2.7", b"X-Forwarded-Proto: https", b"X-Request-Id: 4711-a")

INGRESS = (  # as ingress-nginx sets them all, unless it is told otherwise
    *PROXIED,
    b"X-Real-IP: 192.0.2.7",
    b"X-Forwarded-Host: sluice.example.com",
    b"X-Forwarded-Port: 443",
    b"X-Forwarded-Scheme: https",
    b"X-Scheme: https",
    b"X-Original-Forwarded-For: 198.51.100.1",
)


async def test_what_a_proxy_passes_on_goes_the_short_way_under_its_id() -> None:
    door = Door()
    ways = ((PROXIED, Receipt(1, 0)), (PROXIED, Unknown()), (INGRESS, Receipt(1, 0)), (PLAIN, Receipt(1, 0)))
    for headers, outcome in ways:
        await door.send(request(*headers))
        door.hall.handed[-1][1](outcome)
    assert door.statuses == [200, 504, 200, 200]
    assert door.wire.written.count(b"x-request-id: 4711-a\r\n") == 3
    assert door.wire.written.count(b"x-request-id") == 3
