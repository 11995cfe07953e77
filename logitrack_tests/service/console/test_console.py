"""The files of the web console and of the API documentation, as the service sends them."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from litestar.testing import TestClient

from logitrack_service.console.files import ConsoleFiles, accepts


@pytest.fixture
def built(tmp_path: Path) -> ConsoleFiles:
    """Files as the build writes them, with a compressed form of the script only."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>console</title>")
    (tmp_path / "assets" / "index-1a2B.js").write_text("run()")
    (tmp_path / "assets" / "index-1a2B.js.gz").write_bytes(gzip.compress(b"run()"))
    (tmp_path / "secret.js").write_text("not an asset")
    return ConsoleFiles(tmp_path)


def test_compressed_file_is_sent_to_clients_that_accept_it(built: ConsoleFiles):
    compressed, plain = built.asset("index-1a2B.js", "gzip, br"), built.asset("index-1a2B.js", "identity")
    assert compressed is not None
    assert plain is not None
    assert compressed.encoding == "gzip"
    assert gzip.decompress(compressed.content) == plain.content == b"run()"
    assert plain.encoding is None
    assert compressed.media_type == plain.media_type == "text/javascript"


@pytest.mark.parametrize("name", ["../secret.js", "index-1a2B.js.gz", "none.js", "", ".", "index.exe", "a\0.js"])
def test_only_assets_are_files(built: ConsoleFiles, name: str):
    assert built.asset(name, "") is None


def test_page_says_how_to_build_the_console_until_it_is_built(tmp_path: Path, built: ConsoleFiles):
    assert b"make console" in ConsoleFiles(tmp_path / "nothing").page("gzip").content
    assert built.page("gzip").content == b"<title>console</title>"


@pytest.mark.parametrize(
    ("header", "accepted"),
    [("gzip", True), ("br;q=1.0, GZIP;q=0.5", True), ("gzip;q=0", False), ("br", False), ("", False)],
)
def test_header_accept_encoding(header: str, accepted: bool):
    assert accepts("gzip", header) is accepted


def test_pages_load_nothing_from_other_servers(client: TestClient):
    for page in ("/", "/console/city", "/docs"):
        response = client.get(page)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-cache"
        assert not re.search(r"(src|href)=[\"'](https?:)?//", response.text)
        assert "<script>" not in response.text
        for asset in re.findall(r"(?:src|href)=\"(/assets/[^\"]+)\"", response.text):
            assert client.get(asset).status_code == 200
    assert "SwaggerUIBundle" in client.get("/assets/swagger-ui.js").text
    assert "/predict" in client.get("/schema/openapi.json").json()["paths"], "what the documentation page shows"


def test_policy_of_the_pages_allows_no_inline_code(client: TestClient):
    for page in ("/", "/docs"):
        policy = client.get(page).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy


def test_unknown_asset_is_a_problem_document(client: TestClient):
    response = client.get("/assets/nothing.js")
    assert response.status_code == 404
    assert response.json()["detail"] == "This file does not exist."
