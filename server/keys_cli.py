"""`sluice key`: API keys, made, listed and revoked at the terminal."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer

from schemas.keys import MAX_QUOTA, KeyRequest, Scope
from schemas.times import to_text
from server import logs
from server.audit import at_the_terminal
from server.keys import KeyRing
from server.reach import with_pool
from server.settings import Settings
from server.up import say

QUOTA = "A quota of its own, instead of the one for all keys."
Result = TypeVar("Result")

app = typer.Typer(no_args_is_help=True, help="API keys.")


@app.command("create")
def create(
    name: str,
    scope: Annotated[list[Scope], typer.Option(help="ingest, read or admin; may be given several times.")],
    device: Annotated[str | None, typer.Option(help="Bind the key to devices by a glob, such as 'pump-*'.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Expires after so many days.")] = None,
    requests: Annotated[int | None, typer.Option("--requests-per-s", min=1, max=MAX_QUOTA, help=QUOTA)] = None,
    readings: Annotated[int | None, typer.Option("--readings-per-s", min=1, max=MAX_QUOTA, help=QUOTA)] = None,
) -> None:
    """Make a key and print it, this once."""
    expires = datetime.now(UTC) + timedelta(days=days) if days else None
    request = KeyRequest(
        name=name,
        scopes=scope,
        device_glob=device,
        expires_at=expires,
        quota_requests_per_s=requests,
        quota_readings_per_s=readings,
    )
    say(_with_ring(lambda ring: ring.create(request, at_the_terminal())).key)


@app.command("list")
def show() -> None:
    """List all keys, without their secrets."""
    for key in _with_ring(lambda ring: ring.all()):
        state = "revoked" if key.revoked_at else "expires " + to_text(key.expires_at) if key.expires_at else "valid"
        scopes = ",".join(key.scopes)
        quotas = f"{key.quota_requests_per_s or '-'}/{key.quota_readings_per_s or '-'}"
        about = f"{scopes:18}  {key.device_glob or '*':16}  {quotas:>9}"
        say(f"{key.id}  {about}  {to_text(key.created_at)}  {state}  {key.name}")


@app.command("revoke")
def revoke(key_id: str) -> None:
    """Revoke a key."""
    if not _with_ring(lambda ring: ring.revoke(key_id, at_the_terminal())):
        raise ValueError(f"no key has the id {key_id}; `sluice key list` shows them")
    say(f"revoked {key_id}")


def _with_ring(work: Callable[[KeyRing], Awaitable[Result]]) -> Result:
    """Do something with the keys."""
    settings = Settings()
    logs.configure(settings)

    async def run() -> Result:
        now = asyncio.get_running_loop().time
        return await with_pool(settings, lambda pool: work(KeyRing(pool, now, lambda: 0)))

    return asyncio.run(run())
