"""`/docs` and `/redoc`: the API's documentation, from files that came with the package, under a strict policy."""

import base64
import hashlib
import re

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html

from server.pages import HEADERS

FILES = "/static-offline-docs"  # where fastapi-offline serves what the pages load
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Add the two pages, which open the app's own document and nothing else."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return _guarded(
            get_swagger_ui_html(
                openapi_url=f"{root}{app.openapi_url}",
                title=f"{app.title}: the API",
                swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
                swagger_css_url=f"{root}{FILES}/swagger-ui.css",
                swagger_favicon_url=f"{root}{FILES}/favicon.png",
            )
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return _guarded(
            get_redoc_html(
                openapi_url=f"{root}{app.openapi_url}",
                title=f"{app.title}: the API",
                redoc_js_url=f"{root}{FILES}/redoc.standalone.js",
                redoc_favicon_url=f"{root}{FILES}/favicon.png",
                with_google_fonts=False,
            )
        )


def _guarded(page: Response) -> Response:
    """The page with a policy that knows its scripts: its files, and what stands in it, by digest."""
    digests = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in _INLINE.findall(bytes(page.body))]
    policy = (
        "default-src 'none'",
        " ".join(["script-src 'self'", *(f"'sha256-{digest}'" for digest in digests)]),
        "style-src 'self' 'unsafe-inline'",  # both build their looks in the browser
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src blob:",  # ReDoc's search
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    page.headers.update(HEADERS | {"Content-Security-Policy": "; ".join(policy)})
    return page
