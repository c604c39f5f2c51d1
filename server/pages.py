"""The dashboard's files, as the browser gets them: read once, revalidated by ETag, under a strict policy.

They need no key: all they hold is the page's shell. Whatever it shows, it asks for with the key its user pastes in.
"""

import hashlib
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from schemas.errors import NotFound

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; a file of any other kind in the folder is not."""

INDEX = "index.html"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",  # covers the page's own /ws too
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Cache-Control": "no-cache",  # keep it, but ask every time: a new version must be seen at once
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the dashboard, ready to be sent."""

    body: bytes
    content_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """Send it, or say that what the browser holds is still good."""
        headers = HEADERS | {"ETag": self.etag}
        if _is_fresh(request.headers.get("If-None-Match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers | {"Content-Type": self.content_type})


def routes() -> list[BaseRoute]:
    """The routes of the page: its document at `/`, everything that it loads under `/dashboard/`."""
    pages = _read_pages()

    async def index(request: Request) -> Response:
        return pages[INDEX].answer(request)

    async def file(request: Request) -> Response:
        # A lookup among the names that were read: no path is ever made of what a client sends.
        if page := pages.get(request.path_params["file"]):
            return page.answer(request)
        raise NotFound

    return [Route("/", index), Route("/dashboard/{file}", file)]


def _read_pages() -> dict[str, Page]:
    pages = {}
    for entry in resources.files("server").joinpath("dashboard").iterdir():
        content_type = CONTENT_TYPES.get(entry.name[entry.name.rfind(".") :])
        if content_type and entry.is_file():
            body = entry.read_bytes()
            pages[entry.name] = Page(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
    return pages


def _is_fresh(if_none_match: str, etag: str) -> bool:
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in known or "*" in known
