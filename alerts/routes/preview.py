"""The route of previews: thin."""

from fastapi import APIRouter, Request

from alerts.preview import Previewer
from alerts.routes.desk import UnboundReader
from schemas.preview import Preview, PreviewRequest

router = APIRouter(prefix="/v1", tags=["rules"])


@router.post("/rules/preview")
async def preview_rule(request: Request, _: UnboundReader, wanted: PreviewRequest) -> Preview:
    """Run a rule over stored readings with the machine that judges live ones: the transitions it would have made."""
    previewer: Previewer = request.state.previewer
    return await previewer.run(wanted)
