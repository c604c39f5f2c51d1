"""The guard before routes: who presents no valid key hears that, and nothing else.

FastAPI reads a body, and judges every parameter, before a handler or a dependency can ask for a key: a stranger would
learn what is wrong with his request, and have a body read. So the key is judged before the route is entered; the
handler then asks for the scope it needs, of the principal that was found here: by a dependency, which is likewise run
before FastAPI looks at the request, so that who lacks the scope learns 403 and nothing else.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from schemas.keys import Principal
from server.keys_api import KeyDesk


def guarded(route: BaseRoute, *, cookies: bool = False) -> None:
    """Have a route, or a whole router that was included, ask for a key first; with `cookies`, or for a session."""
    enter = route.handle

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        desk: KeyDesk = scope["state"]["keys"]
        await desk.gate.identify(Request(scope), cookies=cookies)
        await enter(scope, receive, send)

    route.handle = handle  # type: ignore[method-assign]


def scoped(app: FastAPI) -> None:
    """Have all routes ask for the scope first: by their parameters `Annotated[Principal, Depends(…)]`."""
    for route in (context.original_route for context in iter_route_contexts(app.routes)):
        if isinstance(route, APIRoute) and "handle" not in vars(route):  # else an app before this one did it
            route.handle = _asking_first(route)  # type: ignore[assignment, method-assign]


def _asking_first(route: APIRoute) -> Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]:
    enter, methods = route.handle, route.methods or set()
    hints = get_type_hints(route.endpoint, include_extras=True).values()
    asking = [dependency for hint in hints if (dependency := _asks_who(hint)) is not None]

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in methods:
            for dependency in asking:
                await dependency(Request(scope))
        await enter(scope, receive, send)

    return handle


def _asks_who(hint: Any) -> Callable[[Request], Awaitable[Principal]] | None:
    kind, *marks = get_args(hint) if get_origin(hint) is Annotated else (None,)
    found = [mark.dependency for mark in marks if isinstance(mark, Depends) and kind is Principal]
    return found[0] if found else None
