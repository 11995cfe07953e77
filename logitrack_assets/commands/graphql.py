"""Requests to the GraphQL API of Dagster's web UI."""

from __future__ import annotations

import httpx2

from logitrack_assets.errors import LogitrackError

_REEXECUTE = """
mutation Reexecute($parameters: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $parameters) {
    __typename
    ... on PythonError { message }
  }
}
"""
_TIMEOUT_SECONDS = 60


def reexecute_run(dagster_url: str, run_id: str) -> None:
    """Queue a run again, all steps, with its configuration and tags.

    Raises:
        LogitrackError: Dagster did not accept the request.
    """
    variables = {"parameters": {"parentRunId": run_id, "strategy": "ALL_STEPS"}}
    try:
        response = httpx2.post(
            f"{dagster_url}/graphql", json={"query": _REEXECUTE, "variables": variables}, timeout=_TIMEOUT_SECONDS
        )
        result = response.raise_for_status().json()["data"]["launchRunReexecution"]
    except (httpx2.HTTPError, KeyError, ValueError) as error:
        raise LogitrackError(f"Run {run_id} could not be executed again ({error}).") from None
    if result["__typename"] != "LaunchRunSuccess":
        reason = result.get("message") or result["__typename"]
        raise LogitrackError(f"Run {run_id} could not be executed again: {reason}.")
