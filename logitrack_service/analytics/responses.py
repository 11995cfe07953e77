"""HTTP representations of reports: JSON or CSV, with ETag and 304, and their description in OpenAPI."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any, Generic, Literal

import msgspec
from litestar import Request, Response
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType

from logitrack_service.analytics.reports import ReportResult
from logitrack_service.analytics.statements import ReportStatement, Row, Source

CSV = "text/csv"

ReportFormat = Literal["json", "csv"]


class ReportResponse(msgspec.Struct, Generic[Row]):
    """Rows and their origin: `exact` is false for a sample, `trips` counts the trips (or outcomes) in these rows."""

    rows: list[Row]
    source: Source
    exact: bool
    trips: int
    next: str | None = None


@dataclass
class ReportOperation(Operation):
    """OpenAPI operation of a report: adds the CSV representation and the 304 response."""

    def __post_init__(self) -> None:
        """Complete the responses that Litestar derives from the handler's return type."""
        responses = self.responses or {}
        success = responses.get("200")
        if isinstance(success, OpenAPIResponse):
            success.content = (success.content or {}) | {CSV: OpenAPIMediaType(Schema(type=OpenAPIType.STRING))}
        responses["304"] = OpenAPIResponse("The report has not changed since the given ETag.")
        self.responses = responses


def report_response(
    request: Request[Any, Any, Any],
    statement: ReportStatement[Row],
    result: ReportResult[Row],
    requested_format: ReportFormat | None,
) -> Response[ReportResponse[Row]]:
    """Return a report in the requested format, or 304 if the client has it already.

    Args:
        request: Request with the headers `Accept` and `If-None-Match`.
        statement: The report's statement.
        result: The report's result.
        requested_format: Format of the query string; it takes precedence over `Accept`.
    """
    as_csv = requested_format == "csv" or (requested_format is None and CSV in request.headers.get("accept", ""))
    etag = f'"{result.etag}-{"csv" if as_csv else "json"}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "accept, authorization"}
    # The content of 304 and CSV is not the declared struct: OpenAPI describes both in ReportOperation.
    content: Any
    if _matches(request.headers.get("if-none-match", ""), etag):
        content = None
        return Response(content, status_code=304, headers=headers)
    if as_csv:
        headers |= {"x-exact": str(statement.exact).lower(), "x-trips": str(result.trips)}
        if result.next:
            headers["x-next"] = result.next
        content = _csv(statement.row_type, result.rows)
        return Response(content, media_type=CSV, headers=headers)  # Litestar adds the charset to text types
    return Response(
        ReportResponse(result.rows, statement.source, statement.exact, result.trips, result.next), headers=headers
    )


def _matches(if_none_match: str, etag: str) -> bool:
    """Return whether `If-None-Match` names the entity tag; the comparison is weak (RFC 9110, 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def _csv(row_type: type[msgspec.Struct], rows: list[Row]) -> bytes:
    """Return rows as CSV with a header, which is present without rows as well."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(row_type.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(row) for row in rows)
    return out.getvalue().encode()
