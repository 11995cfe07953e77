"""The web console at `/`, the API documentation at `/docs` and their files; nothing is loaded from another server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from swagger_ui_bundle import swagger_ui_path

from logitrack_service.console.files import ConsoleFile, ConsoleFiles
from logitrack_service.errors import NotFoundError

_HERE = Path(__file__).parent
# Apache-2.0. Version 5.31.0 of swagger-ui-bundle-v2 holds the same bytes as the npm package swagger-ui-dist 5.31.0.
_SWAGGER = Path(str(swagger_ui_path))

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DOCS_FILES: dict[str, tuple[Path, str]] = {
    "docs.js": (_HERE / "docs.js", "text/javascript"),
    "docs.css": (_HERE / "docs.css", "text/css"),
    "swagger-ui.js": (_SWAGGER / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (_SWAGGER / "swagger-ui.css", "text/css"),
}
ONE_DAY = "public, max-age=86400"
FOREVER = "public, max-age=31536000, immutable"  # the name of a built file contains the hash of its content


@get("/", exclude_from_auth=True, include_in_schema=False, sync_to_thread=True)
def console_page(request: Request[Any, Any, Any], console_files: NamedDependency[ConsoleFiles]) -> Response[bytes]:
    """Return the page of the web console."""
    return _console_page(request, console_files)


@get("/console/{view:str}", exclude_from_auth=True, include_in_schema=False, sync_to_thread=True)
def console_view(request: Request[Any, Any, Any], console_files: NamedDependency[ConsoleFiles]) -> Response[bytes]:
    """Return the same page; its script shows the view that the address names."""
    return _console_page(request, console_files)


@get("/docs", exclude_from_auth=True, include_in_schema=False, sync_to_thread=True)
def docs_page() -> Response[bytes]:
    """Return the interactive API documentation."""
    headers = {"content-security-policy": PAGE_POLICY, "cache-control": "no-cache"}
    return Response((_HERE / "docs.html").read_bytes(), media_type=MediaType.HTML, headers=headers)


@get("/assets/{name:str}", exclude_from_auth=True, include_in_schema=False, sync_to_thread=True)
def static_file(
    request: Request[Any, Any, Any], name: FromPath[str], console_files: NamedDependency[ConsoleFiles]
) -> Response[bytes]:
    """Return a file of the pages."""
    if name in DOCS_FILES:
        path, media_type = DOCS_FILES[name]
        return Response(path.read_bytes(), media_type=media_type, headers={"cache-control": ONE_DAY})
    found = console_files.asset(name, request.headers.get("accept-encoding", ""))
    if found is None:
        raise NotFoundError("This file does not exist.")
    return _file_response(found, {"cache-control": FOREVER})


def _console_page(request: Request[Any, Any, Any], console_files: ConsoleFiles) -> Response[bytes]:
    page = console_files.page(request.headers.get("accept-encoding", ""))
    return _file_response(page, {"content-security-policy": PAGE_POLICY, "cache-control": "no-cache"})


def _file_response(file: ConsoleFile, headers: dict[str, str]) -> Response[bytes]:
    headers["vary"] = "accept-encoding"
    if file.encoding is not None:
        headers["content-encoding"] = file.encoding
    return Response(file.content, media_type=file.media_type, headers=headers)


routes = [console_page, console_view, docs_page, static_file]
