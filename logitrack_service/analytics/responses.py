"""HTTP representations: reports as JSON or CSV with ETag and 304, and the rows of analysts' queries."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response

from logitrack_service.analytics.analyst_session import FormattedResult
from logitrack_service.analytics.reports import ReportResult
from logitrack_service.analytics.schemas import QueryResponse, ReportFormat, ReportResponse
from logitrack_service.analytics.statements import ReportStatement

CSV = "text/csv"

ReportT = TypeVar("ReportT", bound=ReportResponse)


def report_response(
    request: Request[Any, Any, Any],
    statement: ReportStatement[Any],
    result: ReportResult[Any],
    report_type: type[ReportT],
    requested_format: ReportFormat | None,
) -> Response[ReportT]:
    """Return a report in the requested format, or 304 if the client has it already.

    Args:
        request: Request with the headers `Accept` and `If-None-Match`.
        statement: The report's statement.
        result: The report's result.
        report_type: Type of the JSON representation; its rows have the statement's row type.
        requested_format: Format in the query string; it takes precedence over `Accept`.
    """
    as_csv = negotiated_format(request, requested_format) == "csv"
    etag = f'"{result.etag}-{"csv" if as_csv else "json"}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "accept, authorization, cookie"}
    content: Any  # of 304 and CSV: not of the declared type, which describes the JSON representation
    if _matches(request.headers.get("if-none-match", ""), etag):
        content = None
        return Response(content, status_code=304, headers=headers)
    if as_csv:
        headers |= {"x-exact": str(statement.exact).lower(), "x-trips": str(result.trips)}
        if result.next:
            headers["x-next"] = result.next
        content = _csv(statement.row_type, result.rows)
        return Response(content, media_type=CSV, headers=headers)  # Litestar adds the charset to text types
    report = report_type(
        result.rows, statement.source, statement.exact, result.trips, result.next, statement.approximate
    )
    return Response(report, headers=headers)


def negotiated_format(request: Request[Any, Any, Any], requested_format: ReportFormat | None) -> ReportFormat:
    """Return the requested format, or else CSV if the header `Accept` names it, or else JSON."""
    if requested_format is not None:
        return requested_format
    return "csv" if CSV in request.headers.get("accept", "") else "json"


def query_response(
    result: FormattedResult, milliseconds: float, result_format: ReportFormat
) -> Response[QueryResponse]:
    """Return the rows of an analyst's query as JSON or CSV."""
    content: Any  # CSV is not of the declared type, which describes the JSON representation
    if result_format == "csv":
        content = _csv_line(result.columns) + (result.lines + "\n" if result.row_count else "")
        headers = {
            "x-row-count": str(result.row_count),
            "x-truncated": str(result.truncated).lower(),
            "cache-control": "private, no-store",
        }
        return Response(content.encode(), media_type=CSV, headers=headers)
    rows: Any = msgspec.Raw(f"[{result.lines}]".encode())
    content = QueryResponse(result.columns, rows, result.row_count, result.truncated, milliseconds)
    return Response(content, headers={"cache-control": "private, no-store"})


def _csv_line(values: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def _matches(if_none_match: str, etag: str) -> bool:
    """Return whether `If-None-Match` names the entity tag; the comparison is weak (RFC 9110, 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def _csv(row_type: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> bytes:
    """Return rows as CSV with a header, which is present without rows as well."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(row_type.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(row) for row in rows)
    return out.getvalue().encode()
