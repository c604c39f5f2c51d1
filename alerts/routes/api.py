"""The routes of this room."""

from fastapi import APIRouter

from alerts.routes import alerts, rules, silences, webhooks
from alerts.routes.desk import AlertsDesk

__all__ = ["AlertsDesk", "router"]

router = APIRouter(prefix="/v1")
for _part in (rules, alerts, silences, webhooks):
    router.include_router(_part.router)
