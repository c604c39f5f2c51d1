"""The running parts that have to be reached when the process stops."""

from dataclasses import dataclass

from alerts.live.connections import ConnectionManager
from ingest.writer import Writer
from server.health import Health


@dataclass(frozen=True, slots=True)
class Machine:
    """What the process that runs the app has to reach when it stops."""

    health: Health
    connections: ConnectionManager
    writer: Writer

    def bid_farewell(self) -> None:
        """Not ready any more; dashboards are advised to reconnect."""
        self.health.draining = True
        self.connections.close_all()

    async def wind_down(self) -> None:
        """The same, and what was taken is answered."""
        self.bid_farewell()
        await self.connections.drained()
        await self.writer.drain()
