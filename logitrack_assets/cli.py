"""The `logitrack` command: arguments in, sentences out; what it does is in `logitrack_assets.commands`.

Imports stay inside the commands, so that `--help` does not wait for Dagster and Spark.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings, get_settings, read_settings

app = typer.Typer(
    name="logitrack",
    help="How long does a city ride take? Trips of the New York taxi commission become a model and a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
model_app = typer.Typer(no_args_is_help=True, help="The models: what there is, what is served, and going back.")
app.add_typer(model_app, name="model")
user_app = typer.Typer(no_args_is_help=True, help="The service's accounts, where only the machine's owner may act.")
app.add_typer(user_app, name="user")

console = Console()
errors = Console(stderr=True)


class Estimator(StrEnum):
    """What grows the trees."""

    xgboost = "xgboost"
    gbt = "gbt"


Months = Annotated[
    str, typer.Option("--months", help="Months to load: 2019-03, 2019-01:2019-06, or several separated by commas.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the history.")]


@app.command()
def up() -> None:
    """Run PostgreSQL, Dagster and the service here until Ctrl-C; the first time makes a model of the sample."""
    from logitrack_assets.commands.stack import up as run

    run(get_settings(), console)


@app.command()
def demo() -> None:
    """Show the whole way once, from trips to an answered prediction, and end."""
    from logitrack_assets.commands.stack import demo as run

    run(get_settings(), console)


@app.command()
def materialize(
    months: Months,
    fleets: Annotated[str | None, typer.Option(help="yellow, green, or both with a comma [LOGITRACK_FLEETS]")] = None,
    estimator: Annotated[
        Estimator, typer.Option(help="XGBoost on Spark, or MLlib's GBTRegressor.")
    ] = Estimator.xgboost,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer trees and folds: for a first look.")] = False,
) -> None:
    """Load months from the source and train on them, through Dagster, as the UI would."""
    if fleets is not None:
        os.environ["LOGITRACK_FLEETS"] = fleets
    settings = _prepared()
    from logitrack_assets.commands.materialize import QUICK
    from logitrack_assets.commands.materialize import materialize as run
    from logitrack_assets.commands.months import parse_months

    training = {"estimator": estimator.value, **(QUICK if quick else {})}
    problems = run(settings, parse_months(months), console, training=training)
    if problems:
        raise LogitrackError("\n".join(problems))


@app.command()
def predict(
    file: Annotated[Path, typer.Argument(help="Parquet or CSV: pickup_zone, dropoff_zone, pickup_at, distance_miles?")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the answers go: Parquet or CSV.")],
) -> None:
    """Answer a file of rides with the champion, row by row in the same order."""
    from logitrack_assets.eta.file_scoring import score_file
    from logitrack_assets.eta.registry import ModelRegistry

    models = ModelRegistry(get_settings().home / "models")
    champion = models.champion()
    if champion is None:
        raise LogitrackError("There is no champion to ask: run `logitrack materialize --months 2019-01:2019-12` first.")
    rows = score_file(file, output, models.load(champion.version))
    console.print(f"{rows:,} rides answered by {champion.version}: {output}", highlight=False)


@app.command()
def check(
    months: Annotated[
        str, typer.Option("--months", help="Months to look at; all that are materialised if unset.")
    ] = "",
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the results as JUnit XML.")] = None,
) -> None:
    """Run every asset check on what is materialised; exit non-zero when one of severity ERROR fails."""
    settings = _prepared()
    from logitrack_assets.commands.checks import check as run
    from logitrack_assets.commands.months import parse_months

    verdicts = run(settings, parse_months(months) if months else [], console, junit)
    raise typer.Exit(1 if any(verdict.broken for verdict in verdicts) else 0)


@app.command()
def clean(
    days: Annotated[
        int | None, typer.Option(min=0, help="Age in days of runs that go [LOGITRACK_KEEP_RUNS_DAYS]")
    ] = None,
) -> None:
    """Remove old runs and their logs, and old requests to the service; newest materialisations stay."""
    settings = _prepared()
    from datetime import UTC, datetime, timedelta

    from dagster import DagsterInstance

    from logitrack_assets.automation.retention import remove_old_requests, remove_old_runs
    from logitrack_assets.database import database_url, migrate
    from logitrack_assets.definitions import defs

    before = datetime.now(UTC) - timedelta(days=settings.keep_runs_days if days is None else days)
    checks = defs.resolve_asset_graph().asset_check_keys
    with DagsterInstance.get() as instance:
        removed = remove_old_runs(instance, before, Path(os.environ["LOGITRACK_COMPUTE_LOGS"]), checks)
    console.print(f"{removed} runs from before {before:%Y-%m-%d} removed.", highlight=False)
    before = datetime.now(UTC) - timedelta(days=settings.keep_requests_days)
    migrate(database_url(settings))
    gone = sum(remove_old_requests(database_url(settings), before).values())
    console.print(f"{gone} logged requests from before {before:%Y-%m-%d} removed.", highlight=False)


@app.command()
def env() -> None:
    """Print what to export so that `dg` and `dagster` work on this instance: eval "$(logitrack env)"."""
    from logitrack_assets.instance import dagster_environment

    for name, value in dagster_environment(get_settings()).items():
        print(f"export {name}={shlex.quote(value)}")


@app.command()
def doctor() -> None:
    """Look at Java, memory, disk, ports, database, source and model; say what is wrong and how to mend it."""
    from logitrack_assets.commands.doctor import run_diagnostics

    failed = False
    for finding in run_diagnostics(get_settings()):
        failed |= not finding.ok
        sign = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        console.print(f"{sign} {finding.part:<15} {finding.fact}", highlight=False, soft_wrap=True)
        if finding.hint:
            console.print(f"  {'':<15} → {finding.hint}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


@model_app.command("list")
def model_list() -> None:
    """All versions, newest first, and which one is served."""
    from logitrack_assets.commands.models import print_versions

    print_versions(get_settings(), console)


@model_app.command("show")
def model_show(version: Annotated[str, typer.Argument(help="A version from `logitrack model list`.")]) -> None:
    """The card of a version: what it was made of and how good it is."""
    from logitrack_assets.commands.models import print_card

    print_card(get_settings(), version, console)


@model_app.command("promote")
def model_promote(version: Annotated[str, typer.Argument(help="The version to serve.")], reason: Reason) -> None:
    """Serve this version from now on; the service follows within seconds."""
    from logitrack_assets.commands.models import promote

    promote(get_settings(), version, reason, console)


@model_app.command("rollback")
def model_rollback(reason: Reason = "rolled back by hand") -> None:
    """Go back to the champion before this one."""
    from logitrack_assets.commands.models import rollback

    rollback(get_settings(), reason, console)


@user_app.command("create-admin")
def create_admin(
    username: Annotated[str, typer.Argument(help="Name of the account.")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Make an account with the role admin; it can give others their roles over HTTP."""
    # The only command that needs the service's own code: accounts are its business.
    from logitrack_service.auth.admin import create_admin as create

    password = sys.stdin.readline().rstrip("\n") if password_stdin else typer.prompt("Password", hide_input=True)
    if not password_stdin and typer.prompt("Again", hide_input=True) != password:
        raise LogitrackError("The two passwords differ: nothing was made, try again.")
    create(get_settings(), username, password)
    console.print(f"{username} is an admin.", highlight=False)


def _prepared() -> Settings:
    """Settings, Java, disk, database and Dagster's environment, before anything is begun."""
    from logitrack_assets.commands.doctor import require_disk, require_java
    from logitrack_assets.database import database_url, migrate, wait_for_database
    from logitrack_assets.instance import dagster_environment

    get_settings.cache_clear()
    settings = get_settings()
    require_java()
    require_disk(settings.home)
    url = database_url(settings)
    wait_for_database(url)
    migrate(url)
    os.environ.update(dagster_environment(settings))
    return settings


def main() -> None:
    """Runs the command; a known trouble is one sentence and exit code 1, Ctrl-C is 130."""
    # Dagster says of parts that we use on purpose that they are young.
    warnings.filterwarnings("ignore", message=r".*is currently in (beta|preview)")
    try:
        read_settings(Settings)
        app()
    except LogitrackError as error:
        errors.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
