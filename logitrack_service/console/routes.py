"""The page at `/`, the API documentation at `/docs` and their static files; nothing is loaded from another server."""

from __future__ import annotations

from pathlib import Path

from litestar import MediaType, Response, get
from litestar.params import FromPath
from swagger_ui_bundle import swagger_ui_path

from logitrack_service.errors import NotFoundError

_HERE = Path(__file__).parent
# Apache-2.0. Version 5.31.0 of swagger-ui-bundle-v2 holds the same bytes as the npm package swagger-ui-dist 5.31.0.
_SWAGGER = Path(str(swagger_ui_path))

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
ASSETS: dict[str, tuple[Path, str]] = {
    "page.js": (_HERE / "page.js", "text/javascript"),
    "style.css": (_HERE / "style.css", "text/css"),
    "docs.js": (_HERE / "docs.js", "text/javascript"),
    "swagger-ui.js": (_SWAGGER / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (_SWAGGER / "swagger-ui.css", "text/css"),
}


def _page(name: str) -> Response[bytes]:
    headers = {"content-security-policy": PAGE_POLICY, "cache-control": "no-cache"}
    return Response((_HERE / name).read_bytes(), media_type=MediaType.HTML, headers=headers)


@get("/", exclude_from_auth=True, include_in_schema=False, sync_to_thread=False)
def home_page() -> Response[bytes]:
    """Return the start page with a form to try the API."""
    return _page("home.html")


@get("/docs", exclude_from_auth=True, include_in_schema=False, sync_to_thread=False)
def docs_page() -> Response[bytes]:
    """Return the interactive API documentation."""
    return _page("docs.html")


@get("/assets/{name:str}", exclude_from_auth=True, include_in_schema=False, sync_to_thread=True)
def static_file(name: FromPath[str]) -> Response[bytes]:
    """Return a static file of the pages; only the names in `ASSETS` exist."""
    if name not in ASSETS:
        raise NotFoundError("This file does not exist.")
    path, media_type = ASSETS[name]
    return Response(path.read_bytes(), media_type=media_type, headers={"cache-control": "public, max-age=86400"})


routes = [home_page, docs_page, static_file]
