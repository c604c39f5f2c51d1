"""What leaves by itself: webhooks, put together from the settings."""

import asyncpg
from prometheus_client import CollectorRegistry

from alerts.webhooks.courier import Courier, CourierSettings
from alerts.webhooks.webhooks import WebhookMetrics, Webhooks
from server.settings import Settings


def open_webhooks(settings: Settings, pool: asyncpg.Pool, registry: CollectorRegistry) -> Webhooks:
    """Not sending yet: its turns are a job of the elected worker."""
    key = settings.webhook_key.get_secret_value() if settings.webhook_key else None
    courier = Courier(CourierSettings(settings.external_url.rstrip("/"), allow_private=settings.webhook_allow_private))
    return Webhooks(pool, courier, WebhookMetrics(registry), key)
