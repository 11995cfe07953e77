"""The page at `/`, the documentation at `/docs`, and the files both need; nothing comes from another server."""

from __future__ import annotations

from pathlib import Path

from litestar import MediaType, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from swagger_ui_bundle import swagger_ui_path

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
def home() -> Response[bytes]:
    """What this is, and a form to try it."""
    return _page("home.html")


@get("/docs", exclude_from_auth=True, include_in_schema=False, sync_to_thread=False)
def docs() -> Response[bytes]:
    """The API's documentation, to read and to try."""
    return _page("docs.html")


@get("/assets/{name:str}", exclude_from_auth=True, include_in_schema=False, sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    """A file of the pages, by a name from a fixed list."""
    if name not in ASSETS:
        raise NotFoundException
    path, media_type = ASSETS[name]
    return Response(path.read_bytes(), media_type=media_type, headers={"cache-control": "public, max-age=86400"})


routes = [home, docs, asset]
