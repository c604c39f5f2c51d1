"""ThingsBoard's routes: what its devices write, and a plain word on what they may ask for besides."""

from fastapi import APIRouter, Request, Response

from ingest.api import Writer
from ingest.foreign import thingsboard
from ingest.foreign.described import described
from ingest.foreign.passage import write_foreign
from schemas.errors import NotFound

router = APIRouter()

_KEY = {"key": ("The access token: a key that is bound to exactly one device. No log has it.", "slk_…")}
_VALUES = {"ts": 1_767_225_600_000, "values": {"temperature": 21.5, "running": True}}
_ABSENT = "Sluice takes telemetry and attributes by POST; shared attributes, RPC, claiming and updates it does not have"


@router.post(
    thingsboard.TELEMETRY_PATH,
    **described("ThingsBoard: write telemetry", {"application/json": _VALUES}, status=200, path=_KEY, answers=False),
)
async def write_telemetry(request: Request, principal: Writer) -> Response:
    """Values of the key's own device."""
    return await write_foreign(request, principal, thingsboard.TELEMETRY)


@router.post(
    thingsboard.ATTRIBUTES_PATH,
    **described(
        "ThingsBoard: write attributes", {"application/json": {"floor": 3}}, status=200, path=_KEY, answers=False
    ),
)
async def write_attributes(request: Request, principal: Writer) -> Response:
    """Values of what the device is rather than measures: metrics that begin with `attributes.`."""
    return await write_foreign(request, principal, thingsboard.ATTRIBUTES)


async def absent(_: Writer) -> Response:
    """What ThingsBoard has and Sluice has not. Raises NotFound."""
    raise NotFound(_ABSENT)


router.add_api_route(thingsboard.ATTRIBUTES_PATH, absent, methods=["GET"], include_in_schema=False)
for path in thingsboard.OTHER_PATHS:
    router.add_api_route(path, absent, methods=["GET", "POST"], include_in_schema=False)
