"""Routes of sessions and of tokens: thin."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from schemas.audit import Actor
from schemas.errors import Forbidden, NotFound
from schemas.keys import Holder, Principal, Scope
from server.auth import COOKIE, Gate, principal_of, session_of
from server.keys import KeyRing
from server.sessions import Session, Sessions, csrf_of
from server.tokens import Tokens


@dataclass(frozen=True, slots=True)
class SessionDesk:
    """What the routes of sessions and tokens need."""

    ring: KeyRing
    gate: Gate
    sessions: Sessions
    tokens: Tokens
    secure: bool
    """Whether people reach us by https, also where a proxy in between does not say so."""
    max_age_s: int
    """For how long a browser keeps the cookie; when the session ends, the server says."""


class SessionKey(BaseModel):
    """The key that a session stands for."""

    id: str
    name: str
    scopes: list[Scope]
    device_glob: str | None


class SessionView(BaseModel):
    """A session, to the page that uses it."""

    csrf: str = Field(description="For the header X-CSRF-Token of every request that is not GET or HEAD.")
    expires_at: datetime = Field(description="If it is not used meanwhile; the end moves on with use, up to a limit.")
    key: SessionKey


class TokenView(BaseModel):
    """A token for /ws."""

    token: str = Field(description="A JWT.")
    expires_at: datetime
    ttl_s: int = Field(description="Seconds from now to its end.")


router = APIRouter(prefix="/v1", tags=["sessions"])


def _desk(request: Request) -> SessionDesk:
    desk: SessionDesk = request.state.sessions
    return desk


Desk = Annotated[SessionDesk, Depends(_desk)]


@router.post("/session", status_code=201)
async def begin_session(request: Request, response: Response, desk: Desk) -> SessionView:
    """Exchange the key in a header for a cookie that no script can read: log in."""
    principal = principal_of(request)
    if session_of(request) is not None:
        raise Forbidden("a session is begun with a key: send it as 'Authorization: Bearer slk_…'")
    cookie, session = await desk.sessions.begin(principal, _actor(request))
    secure = desk.secure or request.url.scheme == "https"
    response.set_cookie(
        COOKIE, cookie, max_age=desk.max_age_s, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return _view(session, cookie, principal)


@router.get("/session")
async def get_session(request: Request, desk: Desk) -> SessionView:
    """The session whose cookie this request carries."""
    session, cookie = _present(request)
    return _view(session, cookie, principal_of(request))


@router.delete("/session", status_code=204)
async def end_session(request: Request, desk: Desk) -> Response:
    """Log out: the cookie, and the tokens and sockets made with it, are over within ten seconds, everywhere."""
    session, _ = _present(request)
    await desk.sessions.end(session, _actor(request))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.post("/tokens", status_code=201)
async def make_token(request: Request, desk: Desk) -> TokenView:
    """A token for /ws, good for minutes: for a client that shall not hold the key, and gets another one in time."""
    principal = await desk.gate(request, Scope.READ)
    found = session_of(request)
    holder = Holder(principal.key_id, found[0].id if found else None)
    token = await desk.tokens.sign(holder, (await desk.ring.standing(principal.key_id))[1])
    return TokenView(token=token.text, expires_at=datetime.fromtimestamp(token.expires_s, UTC), ttl_s=token.ttl_s)


def _present(request: Request) -> tuple[Session, str]:
    found = session_of(request)
    if found is None:
        raise NotFound("this request comes with a key, not with the cookie of a session")
    return found


def _view(session: Session, cookie: str, principal: Principal) -> SessionView:
    scopes = sorted(principal.scopes)
    key = SessionKey(id=principal.key_id, name=principal.name, scopes=scopes, device_glob=principal.device_glob)
    return SessionView(csrf=csrf_of(cookie), expires_at=session.expires_at, key=key)


def _actor(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor
