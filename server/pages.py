"""The dashboard's files, as the browser gets them: read once, revalidated by ETag, under a strict policy.

They need no key: all they hold is the page's shell. Whatever it shows, it asks for with the session that a key was
exchanged for.
"""

import gzip
import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from schemas.errors import NotFound
from server.sealing import is_fresh

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served; a file of any other kind in the folder is not, such as the licences beside vendored libraries."""

INDEX = "index.html"
MAIN = "main.js"
IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"(\.[^"]+)";', re.MULTILINE)
"""A module that a browser loads with the one that says so; views are loaded when they are wanted, by `import(…)`."""

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
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the dashboard, ready to be sent."""

    body: bytes
    squeezed: bytes  # the same, gzipped once, when the process starts
    content_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """Send it, or say that what the browser holds is still good."""
        headers = HEADERS | {"ETag": self.etag}
        if is_fresh(request.headers.get("If-None-Match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        headers |= {"Content-Type": self.content_type}
        if _takes_gzip(request.headers.get("Accept-Encoding", "")):
            return Response(self.squeezed, headers=headers | {"Content-Encoding": "gzip", "ETag": f"W/{self.etag}"})
        return Response(self.body, headers=headers)


def routes() -> list[BaseRoute]:
    """The routes of the page: its document at `/`, everything that it loads under `/dashboard/`."""
    pages = read_pages()

    async def index(request: Request) -> Response:
        return pages[INDEX].answer(request)

    async def file(request: Request) -> Response:
        # A lookup among the names that were read: no path is ever made of what a client sends.
        if page := pages.get(request.path_params["file"]):
            return page.answer(request)
        raise NotFound

    return [Route("/", index), Route("/dashboard/{file:path}", file)]


def read_pages() -> dict[str, Page]:
    """Every file that is served, by its path within the dashboard's folder."""
    folder = resources.files("server").joinpath("dashboard")
    files = {name: entry.read_bytes() for name, entry in _walk(folder) if _suffix(name) in CONTENT_TYPES}
    # Whatever the frame needs is asked for at once: it must not be found out step by step, import by import. After the
    # frame's own styles, which the document names, come those of views and libraries: they are small, and few.
    styles = sorted(name for name in files if "/" in name and name.endswith(".css"))
    links = [f'<link rel="stylesheet" href="/dashboard/{name}">' for name in styles]
    links += [f'<link rel="modulepreload" href="/dashboard/{name}">' for name in sorted(frame_of(files))]
    files[INDEX] = files[INDEX].replace(b"</head>", "\n".join([*links, "</head>"]).encode())
    pages = {}
    for name, body in files.items():
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        pages[name] = Page(body, gzip.compress(body, mtime=0), CONTENT_TYPES[_suffix(name)], etag)
    return pages


def frame_of(files: Mapping[str, bytes]) -> set[str]:
    """The modules that are there before any view: the first one, and whatever these import."""
    frame, unread = {MAIN}, [MAIN]
    while unread:
        name = unread.pop()
        paths = [] if name.startswith("vendor/") else IMPORT.findall(files[name].decode())
        found = {posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in paths} - frame
        frame |= found
        unread.extend(found)
    return frame


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry


def _takes_gzip(accept_encoding: str) -> bool:
    for offer in accept_encoding.lower().split(","):
        name, _, weight = offer.replace(" ", "").partition(";")
        if name == "gzip":
            return weight not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
