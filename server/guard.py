"""The guard before routes: who presents no valid key hears that, and nothing else.

FastAPI reads a body, and judges every parameter, before a handler or a dependency can ask for a key: a stranger would
learn what is wrong with his request, and have a body read. So the key is judged before the route is entered; the
handler then asks for the scope it needs, of the principal that was found here.
"""

from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from server.keys_api import KeyDesk


def guarded(route: BaseRoute, *, cookies: bool = False) -> None:
    """Have a route, or a whole router that was included, ask for a key first; with `cookies`, or for a session."""
    enter = route.handle

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        desk: KeyDesk = scope["state"]["keys"]
        await desk.gate.identify(Request(scope), cookies=cookies)
        await enter(scope, receive, send)

    route.handle = handle  # type: ignore[method-assign]
