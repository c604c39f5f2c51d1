"""Acknowledging: somebody looks at an alert. It changes nothing the machine computes."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import asyncpg

from alerts import record
from alerts.alert import Alert
from alerts.record import ACQUIRE_S, Connection, alert_of
from schemas import audit
from schemas.alert_errors import AlertResolved
from schemas.audit import SLUICE, Act, Actor, Outcome
from schemas.errors import Forbidden, NotFound
from schemas.events import Event, EventType
from schemas.keys import Principal
from schemas.times import to_datetime

_COLUMNS = ", ".join(field.name for field in fields(Alert) if field.name != "labels")
# The lock of the alert's row orders this before or after the transition that resolves it.
_LOCK = f"""
SELECT {_COLUMNS}, labels::text AS labels, acknowledged_comment FROM alerts WHERE id = $1 FOR NO KEY UPDATE
"""  # noqa: S608 - the columns are the fields of a class of ours
_SAVE = "UPDATE alerts SET acknowledged_at = $2, acknowledged_by = $3, acknowledged_comment = $4 WHERE id = $1"


class Acknowledge:
    """Acknowledges alerts. `publish` is called with committed events, as `Feed.committed` wants it."""

    def __init__(self, pool: asyncpg.Pool, clock_us: Callable[[], int], publish: Callable[[list[Event]], None]) -> None:
        self._pool, self._clock_us, self._publish = pool, clock_us, publish

    async def __call__(self, alert_id: int, comment: str, principal: Principal, by: Actor = SLUICE) -> dict[str, Any]:
        """Acknowledge an alert in the name of a key; once more changes nothing. Returns the alert.

        Raises NotFound, Forbidden for a key bound to other devices, AlertResolved.
        """
        async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
            async with connection.transaction():
                found = await connection.fetchrow(_LOCK, alert_id)
                if found is None:
                    raise NotFound("no such alert")
                if not principal.may_use(found["device"]):
                    raise Forbidden("this key is bound to other devices")
                alert = alert_of(found)
                if alert.acknowledged_at is not None:  # also where it is resolved by now: the answer may have been lost
                    await _note(connection, by, alert, Outcome.UNCHANGED)
                    return alert.as_json() | {"acknowledged_comment": found["acknowledged_comment"]}
                if alert.state != "firing":
                    raise AlertResolved
                await _note(connection, by, alert, Outcome.DONE)
                alert, events = await self._save(connection, alert, comment, principal.name)
            self._publish(events)
        return alert.as_json() | {"acknowledged_comment": comment}

    async def _save(self, connection: Connection, alert: Alert, comment: str, name: str) -> tuple[Alert, list[Event]]:
        now = to_datetime(self._clock_us())
        alert = replace(alert, acknowledged_at=now, acknowledged_by=name)
        await connection.execute(_SAVE, alert.id, now, name, comment)
        payload = alert.event(EventType.ACKNOWLEDGED, now) | {"comment": comment}
        return alert, await record.save_events(connection, [(alert, payload)])


async def _note(connection: Connection, by: Actor, alert: Alert, outcome: Outcome) -> None:
    written = audit.row(by, Act.ALERT_ACKNOWLEDGE, alert.id, {"device": alert.device}, outcome=outcome)
    await connection.execute(audit.INSERT, *written)
