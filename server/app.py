"""The whole machine, in the order data flows through it: doors, corridor, engine, feed, dashboards."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from alerts.absence import Absence
from alerts.acknowledge import Acknowledge
from alerts.catchup import CatchUp
from alerts.election import Election
from alerts.ending import Endings
from alerts.engine import Engine
from alerts.flapping import Bounds
from alerts.live.bus import Bus
from alerts.live.connections import ConnectionManager
from alerts.live.feed import Feed
from alerts.live.readings import Readings
from alerts.live.ws import make_endpoint
from alerts.preview import Previewer
from alerts.routes import api as alerts_api
from alerts.routes import preview as preview_api
from alerts.routes.api import AlertsDesk
from alerts.rulebook import RuleBook, RuleLoader
from alerts.silences import Silences
from ingest import api as ingest_api
from ingest.body import BodyLimits
from ingest.corridor import Corridor
from ingest.exchange import Exchange
from ingest.foreign import influx_routes, otlp_routes, prometheus_routes, thingsboard_routes, trial
from ingest.foreign.table import FORMATS
from ingest.intake import Intake
from ingest.metrics import WriteMetrics
from ingest.partitions import Partitions
from ingest.quota import Quota, QuotaLimits
from ingest.registry import Registry
from ingest.series import SeriesTable
from ingest.writer import Writer, WriterLimits
from query import api as query_api
from query.desk import ReadingRoom
from server import audit_api, keys_api, manual, openapi, pages, problems, sessions_api
from server import health as health_api
from server.audit import AuditTrail
from server.audit_api import AuditDesk
from server.database import open_pools
from server.edge import MAX_JSON_BYTES, Edge
from server.entrance import Entrance
from server.guard import guarded, scoped
from server.health import Health
from server.keeping import keeping
from server.keys_api import KeyDesk
from server.machine import Machine
from server.metrics import LiveMetrics, Observed
from server.outbound import open_webhooks
from server.reading import open_reading_room
from server.redis_places import RedisPlaces
from server.requests import RequestMetrics
from server.sealing import sealed
from server.sessions_api import SessionDesk
from server.settings import Settings
from server.system import Room, System
from server.tasks import Tasks
from server.traces import RequestTraces, tracing

VERSION = version("sluice")
QUEUE_SHARE = 0.4  # of a batch's deadline, for waiting: what is taken has to be stored by then
DAY_US = 86_400_000_000
RULES_TOPIC = "rules"  # of the bus: somebody changed a rule


class State(TypedDict):
    """What a request finds in `request.state`: one desk for each room."""

    corridor: Corridor
    alerts: AlertsDesk
    previewer: Previewer
    reading_room: ReadingRoom
    keys: KeyDesk
    sessions: SessionDesk
    audit: AuditDesk
    health: Health
    requests: RequestMetrics
    traces: RequestTraces | None
    live: Callable[[WebSocket], Awaitable[None]]


def now_us() -> int:
    """Now, in microseconds since the Unix epoch."""
    return time.time_ns() // 1_000


@asynccontextmanager
async def machine(settings: Settings, app: FastAPI) -> AsyncIterator[State]:
    """Build every part once, and keep it running. PostgreSQL and Redis may be away, now or later."""
    async with AsyncExitStack() as stack:
        pool, asking_pool, session_pool, lineage = await open_pools(stack, settings)
        registry = CollectorRegistry()
        entrance = Entrance(pool, asking_pool, registry, settings, now_us)
        keys, gate = entrance.keys, entrance.gate

        traces = await stack.enter_async_context(tracing(settings, VERSION))

        # Events: from the engine to every dashboard of every node.
        redis = RedisPlaces(settings.redis)
        bus = Bus(redis.look, settings.redis_prefix, sharded=redis.sharded)
        readings = Readings(bus, pool)
        connections = ConnectionManager(readings)
        feed = Feed(pool, bus, connections.broadcast, lineage.renewing(connections.reset))
        bounds = Bounds(settings.flap_high, settings.flap_low)
        engine = Engine(feed.committed, bounds, traces)

        # Readings: from the doors to COMMIT, past the engine.
        series = SeriesTable(pool, max_cached=settings.max_cached_series, learn=engine.learn, unlearn=engine.unlearn)
        series.max_per_key = settings.max_series_per_key
        rules = RuleLoader(pool, engine, series.items)
        bus.listen(RULES_TOPIC, lambda _: rules.ring())

        def ring() -> None:
            rules.ring()
            bus.publish(b"", RULES_TOPIC)

        rulebook = RuleBook(pool, now_us, feed.committed, ring, settings.max_rules)
        silences = Silences(pool, feed.committed)
        webhooks = open_webhooks(settings, pool, registry)
        stack.push_async_callback(webhooks.close)
        trail = AuditTrail(pool, settings.audit_days)
        endings = Endings(now_us, feed.committed)
        evaluator = Election(
            session_pool,
            {
                "absence": Absence(pool, now_us, feed.committed).judge,
                "rules": rulebook.tick,
                "catch-up": CatchUp(pool, feed.committed, bounds).step,
                "silences": silences.tick,
                "webhooks": webhooks.tick,
                "audit": trail.prune,
                "sessions": entrance.sessions.prune,
                **keeping(session_pool, registry, settings),
            },
        )
        partitions = Partitions(pool)
        metrics = WriteMetrics(registry)
        limits = WriterLimits(
            lanes=settings.lanes,
            flush_rows=settings.flush_rows,
            queue_rows=settings.queue_rows,
            queue_bytes=settings.queue_bytes,
            queue_s=settings.deadline_s * QUEUE_SHARE,
            deadline_s=settings.deadline_s,
        )
        writer = Writer(pool, partitions, engine, metrics, limits, traces)
        lineage.concerned += [series.renew, partitions.forget, writer.renew, engine.renew, rules.renew]
        devices = Registry(pool)
        intake = Intake(settings.intake_bytes)
        tasks = Tasks()
        quota = Quota(
            QuotaLimits(settings.quota_requests_per_s, settings.quota_readings_per_s), time.monotonic, settings.workers
        )
        corridor = Corridor(
            authenticate=gate,
            recognise=keys.recognise,
            quota=quota,
            body_limits=BodyLimits(settings.max_body_bytes, settings.receive_s),
            intake=intake,
            max_readings=settings.max_readings,
            retention_us=settings.retention_days * DAY_US,
            series=series,
            writer=writer,
            registry=devices,
            metrics=metrics,
            later=tasks.later,
            clock_us=now_us,
            watched=readings.watched,
            tell=readings.stored,
            mappings={name: settings.mapping(name) for name in FORMATS},
        )

        reading_room = await open_reading_room(stack, settings, registry, gate, pool, endings, lineage)
        await stack.enter_async_context(tasks)
        room = Room(settings.queue_rows, settings.queue_bytes, settings.intake_bytes)
        pools = {"writing": pool, "asking": asking_pool, "reading": reading_room.reads.pool}
        seen = Observed(
            *(connections, bus, feed, writer, series, intake, engine, evaluator, room, settings.lanes, pools),
            sockets=lambda: len(getattr(app.state, "sockets", ())),
        )
        health = Health(pool, tasks, gate, registry, System(registry, room, VERSION), lambda: engine.ready)
        for name, work in (
            ("bus", bus.run()),
            ("feed", feed.run()),
            ("rules", rules.run()),
            ("evaluator", evaluator.run()),
            ("connections", connections.run(entrance.sessions.standing)),
            ("readings", readings.run()),
            ("writer", writer.run()),
            ("partitions", partitions.run()),
            ("devices", devices.run()),
            *entrance.tasks().items(),
            ("quotas", Exchange(quota, redis.look, settings.redis_prefix).run()),
            ("live-metrics", LiveMetrics(registry, seen).run()),
        ):
            tasks.start(name, work)
        app.state.machine = Machine(health, connections, writer)
        yield State(
            corridor=corridor,
            alerts=AlertsDesk(gate, rulebook, pool, Acknowledge(pool, now_us, feed.committed), silences, webhooks),
            previewer=Previewer(pool),
            reading_room=reading_room,
            keys=KeyDesk(gate, keys),
            sessions=entrance.desk,
            audit=AuditDesk(gate, trail),
            health=health,
            requests=RequestMetrics(registry, app.routes),
            traces=traces,
            live=make_endpoint(connections, feed, entrance.admit, version=VERSION, origins=settings.origins),
        )
        await devices.write()
        await entrance.close()


async def live(websocket: WebSocket) -> None:
    """`/ws`: see `alerts/live/ws.py`."""
    await websocket.state.live(websocket)


def create_app(settings: Settings) -> FastAPI:
    """The app, with all its routes; nothing is connected before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        async with machine(settings, app) as state:
            yield state

    app = FastAPIOffline(None, None, title="Sluice", version=VERSION, lifespan=lifespan, description=__doc__)
    app.router.routes.insert(0, WebSocketRoute("/ws", live))  # first: a thousand come back at once
    foreign = (trial, influx_routes, prometheus_routes, thingsboard_routes, otlp_routes)
    for router in (ingest_api.router, *(each.router for each in foreign)):
        app.include_router(router)  # which bound bodies themselves, by settings
        guarded(app.router.routes[-1])
    for api in (alerts_api, preview_api, query_api, keys_api, sessions_api, audit_api):
        app.include_router(api.router, max_body_size=MAX_JSON_BYTES)
        guarded(app.router.routes[-1], cookies=True)
        sealed(app.router.routes[-1])
    app.include_router(influx_routes.probes)
    app.include_router(health_api.router, max_body_size=MAX_JSON_BYTES)
    app.router.routes.extend(pages.routes())
    scoped(app)
    app.add_middleware(Edge)
    problems.install(app)
    openapi.install(app)
    manual.install(app)
    return app
