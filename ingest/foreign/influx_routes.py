"""InfluxDB's routes: writing, and what its clients ask before they write."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ingest.api import Writer
from ingest.body import BodyLimits, read_body
from ingest.corridor import Corridor
from ingest.foreign import influx
from ingest.foreign.described import described
from ingest.foreign.door import Head
from ingest.foreign.passage import write_foreign
from schemas.errors import Malformed, SluiceError

router = APIRouter()
probes = APIRouter()  # open to everybody, as they are at InfluxDB: they tell nothing

MAX_STATEMENT_BYTES = 64 << 10
DATABASE = "sluice"  # the one there is, whatever name is written to
_SERIES: dict[str, dict[str, Any]] = {
    "create database": {"statement_id": 0},
    "show databases": {
        "statement_id": 0,
        "series": [{"name": "databases", "columns": ["name"], "values": [[DATABASE]]}],
    },
}

_LINES = {"text/plain": "cpu,cpu=cpu0,host=web-1 usage_idle=98.2,usage_user=1.1 1767225600000"}
_PRECISION = "Of times: ns (unless said otherwise), us, ms, s, m or h.", "ms"
_ANY = "Anything: a key is all that counts here.", "any"
_STATEMENT = {"q": ("CREATE DATABASE or SHOW DATABASES.", "SHOW DATABASES")}


@router.post(
    "/api/v2/write",
    **described(
        "InfluxDB 2: write line protocol",
        _LINES,
        query={"precision": _PRECISION, "org": _ANY, "bucket": _ANY},
    ),
)
async def write_v2(request: Request, principal: Writer) -> Response:
    """Line protocol, as clients of InfluxDB 2 send it. Of several lines the good ones are stored, and 400 names the
    first bad one (`line`); fields that are text are skipped, and counted in `X-Sluice-Skipped`."""
    return await write_foreign(request, principal, influx.WRITE_V2)


@router.post(
    "/write",
    **described(
        "InfluxDB 1: write line protocol",
        _LINES,
        query={
            "precision": _PRECISION,
            "db": _ANY,
            "u": _ANY,
            "p": ("The key, where a client can show it nowhere else. No log has it.", "slk_…"),
        },
    ),
)
async def write_v1(request: Request, principal: Writer) -> Response:
    """The same of InfluxDB 1; errors have their message in `error`, and in `X-Influxdb-Error`."""
    return await write_foreign(request, principal, influx.WRITE_V1)


@router.get("/query", **described("InfluxDB 1: what databases there are", status=200, query=_STATEMENT))
@router.post("/query", **described("InfluxDB 1: make a database", status=200, query=_STATEMENT))
async def query(request: Request, principal: Writer) -> Response:
    """The two statements that clients send before they write. Raises Malformed at any other."""
    corridor: Corridor = request.state.corridor
    corridor.quota.take_request(principal)
    said = Head(request.scope["query_string"]).parameters().get("q")
    if said is None and request.method == "POST":
        limits = BodyLimits(MAX_STATEMENT_BYTES, corridor.body_limits.receive_s)
        with corridor.intake.share() as share:
            said = Head(await read_body(request, limits, share)).parameters().get("q")
    statement = " ".join((said or "").lower().split()[:2])
    series = _SERIES.get(statement.rstrip(";"))
    if series is None:
        raise Malformed("only CREATE DATABASE and SHOW DATABASES are answered here; GET /v1/series reads")
    return JSONResponse({"results": [series]}, headers=influx.VERSION)


@probes.head("/ping", include_in_schema=False)
@probes.get(
    "/ping",
    **described("InfluxDB: alive", query={"verbose": ("Whether to answer the version: 200.", "false")}),
)
async def ping(request: Request) -> Response:
    """Alive, and which version."""
    if request.query_params.get("verbose") in {None, "", "false", "0"}:
        return Response(status_code=204, headers=influx.VERSION)
    return JSONResponse({"version": influx.VERSION["X-Influxdb-Version"]}, headers=influx.VERSION)


@probes.get("/health", **described("InfluxDB: whether it would take a write", status=200))
async def health(request: Request) -> Response:
    """Whether a write that came now would be taken."""
    corridor: Corridor = request.state.corridor
    status, message = 200, "ready for queries and writes"
    try:
        corridor.writer.admit()
    except SluiceError as error:
        status, message = 503, error.detail or error.title
    document: dict[str, Any] = {
        "name": "influxdb",
        "message": message,
        "status": "pass" if status == 200 else "fail",
        "checks": [],
        "version": influx.VERSION["X-Influxdb-Version"],
        "commit": "",
    }
    return JSONResponse(document, status, influx.VERSION)
