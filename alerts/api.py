"""The routes of this room."""

from fastapi import APIRouter

from alerts import alerts_api, rules_api, silences_api, webhooks_api
from alerts.desk import AlertsDesk

__all__ = ["AlertsDesk", "router"]

router = APIRouter(prefix="/v1")
for _part in (rules_api, alerts_api, silences_api, webhooks_api):
    router.include_router(_part.router)
