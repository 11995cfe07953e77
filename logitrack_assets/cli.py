"""The `logitrack` command: options in, text out. The work is in `logitrack_assets.commands`.

Imports are inside the commands, so that `--help` does not load Dagster and Spark.
"""

from __future__ import annotations

import os
import shlex
import sys
import warnings
from enum import StrEnum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from logitrack_assets.commands.extras import require_extras
from logitrack_assets.errors import LogitrackError
from logitrack_assets.home import disk_error
from logitrack_assets.settings import RoleSettings, Settings, get_settings, read_settings, require_known_variables
from logitrack_service.settings import ServiceSettings

app = typer.Typer(
    name="logitrack",
    help="Estimated durations of New York taxi trips: from the TLC's files to a model and an HTTP service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
model_app = typer.Typer(no_args_is_help=True, help="List, show, promote and roll back model versions.")
app.add_typer(model_app, name="model")
user_app = typer.Typer(no_args_is_help=True, help="List, disable, delete and vouch for accounts of the service.")
app.add_typer(user_app, name="user")
database_app = typer.Typer(no_args_is_help=True, help="The schema and the roles of an external PostgreSQL.")
app.add_typer(database_app, name="database")

UNWRAPPED_COLUMNS = 10_000
MAX_LISTED_USERS = 1_000

# Rich assumes 80 columns for a file or a pipe; a table that is read by a program must not be wrapped.
console = Console(width=None if sys.stdout.isatty() else UNWRAPPED_COLUMNS)
error_console = Console(stderr=True)


class EstimatorOption(StrEnum):
    """Libraries that fit the trees."""

    xgboost = "xgboost"
    gbt = "gbt"


Months = Annotated[
    str, typer.Option("--months", help="Months to ingest: 2019-03, 2019-01:2019-06, or several separated by commas.")
]
UsernameArgument = Annotated[str, typer.Argument(help="Name of the account.")]
Reason = Annotated[str, typer.Option("--reason", help="Reason, kept in the history.")]


def _print_version(requested: bool) -> None:
    if requested:
        console.print(f"logitrack {installed_version('logitrack')}", highlight=False)
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command("up")
def up_command() -> None:
    """Run PostgreSQL, Dagster and the service until Ctrl-C; the first start trains on the source's newest months."""
    require_extras("assets", "service")
    from logitrack_assets.commands.stack import run_stack

    run_stack(get_settings(), console)


@app.command("demo")
def demo_command() -> None:
    """Run everything once, from trips to a prediction over HTTP, and stop."""
    require_extras("assets", "service")
    from logitrack_assets.commands.demo import run_demo

    run_demo(get_settings(), console)


@app.command("materialize")
def materialize_command(
    months: Months,
    fleets: Annotated[
        str | None, typer.Option(help="yellow, green, or both separated by a comma [LOGITRACK_FLEETS]")
    ] = None,
    estimator: Annotated[
        EstimatorOption, typer.Option(help="XGBoost on Spark, or MLlib's GBTRegressor.")
    ] = EstimatorOption.xgboost,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer trees and folds, for a first look.")] = False,
) -> None:
    """Ingest months from the source and train on all months, through Dagster, as its UI would."""
    require_extras("assets")
    if fleets is not None:
        os.environ["LOGITRACK_FLEETS"] = fleets
    from logitrack_assets.commands.preparation import prepare_instance

    settings = prepare_instance()
    from logitrack_assets.commands.materialize import QUICK, ingest_and_train
    from logitrack_assets.commands.models import print_training_result
    from logitrack_assets.commands.months import parse_months

    training = {"estimator": estimator.value, **(QUICK if quick else {})}
    failures = ingest_and_train(settings, parse_months(months), console, training=training)
    print_training_result(settings, console)
    if failures:
        raise LogitrackError("\n".join(failures))


@app.command("predict")
def predict_command(
    file: Annotated[Path, typer.Argument(help="Parquet or CSV: pickup_zone, dropoff_zone, pickup_at, distance_miles?")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the predictions: Parquet or CSV.")],
    strict: Annotated[bool, typer.Option("--strict", help="Exit non-zero when any row has an error.")] = False,
) -> None:
    """Predict the trips of a file with the champion, in the same order; invalid rows get a text in `error`."""
    require_extras("assets")
    from logitrack_assets.commands.predictions import predict_file

    predict_file(get_settings(), file, output, console, strict=strict)


@app.command("explain")
def explain_command(
    prediction_id: Annotated[str, typer.Argument(help="Id of a prediction of the service.")],
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute it again; exit non-zero when a number differs.")
    ] = False,
) -> None:
    """Explain a past answer: question, model, training files, live state, and minutes by cause."""
    require_extras("core")
    from logitrack_assets.commands.explain import explain_prediction

    explain_prediction(get_settings(), prediction_id, console, recompute=recompute)


@app.command("replay")
def replay_command(
    months: Annotated[str, typer.Option("--months", help="Months to replay: 2020-03:2020-06.")],
    fleets: Annotated[
        str | None, typer.Option(help="yellow, green, or both separated by a comma [LOGITRACK_FLEETS]")
    ] = None,
    thin: Annotated[float, typer.Option(min=0.0001, max=1.0, help="Share of the trips to replay.")] = 1.0,
    late_minutes: Annotated[
        float, typer.Option(min=0, max=40_000, help="Minutes between the end of a ride and its report.")
    ] = 15.0,
    freeze: Annotated[str | None, typer.Option("--freeze", help="Version that answers; the champion if unset.")] = None,
    liars: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the outcomes that one lying account reports.")
    ] = 0.0,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file for all figures.")] = Path("replay.json"),
) -> None:
    """Replay past months in the order of their events: answers and intervals with and without live correction."""
    require_extras("assets")
    if fleets is not None:
        os.environ["LOGITRACK_FLEETS"] = fleets
    get_settings.cache_clear()  # options of the command line are environment variables by now
    settings = get_settings()
    from logitrack_assets.commands.months import parse_months
    from logitrack_assets.commands.replay import ReplayOptions, replay_months
    from logitrack_assets.commands.requirements import require_java

    require_java()
    options = ReplayOptions(parse_months(months), settings.fleets, thin, late_minutes, liars, freeze)
    replay_months(settings, options, output, console)


@app.command("check")
def check_command(
    months: Annotated[str, typer.Option("--months", help="Months to check; all in the lake if unset.")] = "",
    junit: Annotated[Path | None, typer.Option("--junit", help="Also write the results as JUnit XML.")] = None,
) -> None:
    """Run every asset check on what is materialised; exit non-zero when one of severity ERROR fails."""
    require_extras("assets")
    from logitrack_assets.commands.preparation import prepare_instance

    settings = prepare_instance()
    from logitrack_assets.commands.checks import run_asset_checks
    from logitrack_assets.commands.months import parse_months

    outcomes = run_asset_checks(settings, parse_months(months) if months else [], console, junit)
    raise typer.Exit(1 if any(outcome.failed for outcome in outcomes) else 0)


@app.command("clean")
def clean_command(
    days: Annotated[
        int | None, typer.Option(min=0, help="Age in days of runs to remove [LOGITRACK_KEEP_RUNS_DAYS]")
    ] = None,
) -> None:
    """Remove old runs with their logs, and old requests to the service; the newest materialisations stay."""
    require_extras("assets")
    from logitrack_assets.commands.preparation import prepare_instance

    settings = prepare_instance()
    from logitrack_assets.commands.clean import remove_old_records

    remove_old_records(settings, days, console)


@app.command("env")
def env_command() -> None:
    """Print what to export so that `dg` and `dagster` act as under `up`: eval "$(logitrack env)"."""
    require_extras("assets")
    from logitrack_assets.commands.first_load import stack_environment
    from logitrack_assets.home import require_home

    require_home(get_settings().home)
    for name, value in stack_environment(get_settings()).items():
        print(f"export {name}={shlex.quote(value)}")


@app.command("doctor")
def doctor_command() -> None:
    """Diagnose Java, memory, disk, ports, database, source and model; print a hint for each problem."""
    require_extras("assets")
    from logitrack_assets.commands.doctor import print_diagnostics

    raise typer.Exit(0 if print_diagnostics(get_settings(), console) else 1)


@model_app.command("list")
def model_list_command() -> None:
    """List all versions, newest first: state, error, coverage, and the gates that refused a candidate."""
    require_extras("core")
    from logitrack_assets.commands.models import print_versions

    print_versions(get_settings(), console)


@model_app.command("show")
def model_show_command(
    version: Annotated[
        str | None, typer.Argument(help="A version from `logitrack model list`; the champion if unset.")
    ] = None,
) -> None:
    """Show the model card of a version: its training data, its accuracy and its state."""
    require_extras("core")
    from logitrack_assets.commands.models import print_card

    print_card(get_settings(), version, console)


@model_app.command("promote")
def model_promote_command(
    version: Annotated[str, typer.Argument(help="The version to serve.")],
    reason: Reason,
    force: Annotated[bool, typer.Option("--force", help="Serve it although its gates did not pass.")] = False,
) -> None:
    """Serve this version from now on; the service loads it within seconds."""
    require_extras("core")
    from logitrack_assets.commands.models import promote_version

    promote_version(get_settings(), version, reason, console, force=force)


@model_app.command("rollback")
def model_rollback_command(reason: Reason = "rolled back by hand") -> None:
    """Serve the previous champion again."""
    require_extras("core")
    from logitrack_assets.commands.models import roll_back

    roll_back(get_settings(), reason, console)


@model_app.command("shadow")
def model_shadow_command(
    version: Annotated[
        str | None, typer.Argument(help="The challenger; without it, print the comparison under way.")
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the comparison under way without a decision.")] = False,
) -> None:
    """Compare a version with the champion on outcomes; it is promoted when they prove it better."""
    require_extras("core")
    from logitrack_assets.commands.models import run_shadow

    run_shadow(get_settings(), version, console, stop=stop)


@user_app.command("create-admin")
def create_admin_command(
    username: Annotated[str, typer.Argument(help="Name of the account.")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Create an account with the role admin, which can give roles to others over HTTP."""
    require_extras("service")
    from logitrack_service.auth.admin import create_admin

    create_admin(get_settings(), username, _read_password(password_stdin))
    console.print(f"{username} is an admin.", highlight=False)


@user_app.command("list")
def user_list_command() -> None:
    """List all accounts."""
    require_extras("service")
    from logitrack_service.auth.admin import administer

    accounts = administer(get_settings(), lambda administration: administration.list_accounts(limit=MAX_LISTED_USERS))
    table = Table("username", "role", "created", "vouched", "disabled")
    for account in accounts:
        table.add_row(
            Text(account.username),
            account.role,
            f"{account.created_at:%Y-%m-%d}",
            "yes" if account.vouched else "",
            f"{account.disabled_at:%Y-%m-%d}" if account.disabled_at else "",
        )
    console.print(table)
    if len(accounts) == MAX_LISTED_USERS:
        console.print(f"There are more than {MAX_LISTED_USERS} accounts: GET /accounts returns all, in pages.")


@user_app.command("disable")
def user_disable_command(username: UsernameArgument) -> None:
    """Disable an account and end its sessions."""
    require_extras("service")
    from logitrack_service.auth.admin import OPERATOR, administer

    administer(get_settings(), lambda administration: administration.set_disabled(username, True, actor=OPERATOR))
    console.print(f"{username} is disabled.", highlight=False)


@user_app.command("enable")
def user_enable_command(username: UsernameArgument) -> None:
    """Enable an account that was disabled."""
    require_extras("service")
    from logitrack_service.auth.admin import OPERATOR, administer

    administer(get_settings(), lambda administration: administration.set_disabled(username, False, actor=OPERATOR))
    console.print(f"{username} is enabled.", highlight=False)


@user_app.command("vouch")
def user_vouch_command(
    username: UsernameArgument,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Do not vouch for it any more.")] = False,
) -> None:
    """Vouch for an account, so that the outcomes that it reports count for the model."""
    require_extras("service")
    from logitrack_service.auth.admin import OPERATOR, administer

    administer(
        get_settings(), lambda administration: administration.set_vouched(username, not withdraw, actor=OPERATOR)
    )
    console.print(f"{username} is {'not ' if withdraw else ''}vouched for.", highlight=False)


@user_app.command("set-password")
def user_set_password_command(
    username: UsernameArgument,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Give an account a new password and end its sessions."""
    require_extras("service")
    from logitrack_service.auth.admin import OPERATOR, administer

    password = _read_password(password_stdin)
    administer(get_settings(), lambda administration: administration.set_password(username, password, actor=OPERATOR))
    console.print(f"{username} has a new password.", highlight=False)


@user_app.command("delete")
def user_delete_command(username: UsernameArgument) -> None:
    """Delete an account and end its sessions. Its predictions and outcomes stay, without its name."""
    require_extras("service")
    from logitrack_service.auth.admin import OPERATOR, administer

    administer(get_settings(), lambda administration: administration.delete(username, actor=OPERATOR))
    console.print(f"{username} is deleted.", highlight=False)


def _read_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    password: str = typer.prompt("Password", hide_input=True)
    if typer.prompt("Again", hide_input=True) != password:
        raise LogitrackError("The two passwords differ; nothing was changed.", hint="Try again.")
    return password


@app.command("analyst-url")
def analyst_url_command(
    username: UsernameArgument,
    revoke: Annotated[bool, typer.Option("--revoke", help="Drop the login and end its connections.")] = False,
) -> None:
    """Print a read-only PostgreSQL address for an analyst's own tools; each call gives a new password."""
    require_extras("service")
    from logitrack_assets.database import analyst_address, database_url
    from logitrack_service.auth.admin import OPERATOR, administer

    settings = get_settings()
    if revoke:
        administer(settings, lambda administration: administration.drop_database_login(username, actor=OPERATOR))
        console.print(f"{username} has no login of its own any more.", highlight=False)
        return
    if settings.embedded and settings.postgres_port is None:
        raise LogitrackError(
            "The embedded PostgreSQL has no TCP port.", hint="Set LOGITRACK_POSTGRES_PORT and start logitrack again."
        )
    login = administer(settings, lambda administration: administration.create_database_login(username, actor=OPERATOR))
    port = settings.postgres_port if settings.embedded else None
    address = analyst_address(database_url(settings), role=login.role, password=login.password, embedded_port=port)
    console.print(address, highlight=False, soft_wrap=True, markup=False)


@database_app.command("migrate")
def migrate_database_command() -> None:
    """Apply migrations and create the roles of service, assets and analysts, with an administrator's login."""
    require_extras("core")
    from logitrack_assets.database import database_url, wait_for_database
    from logitrack_assets.database.roles import migrate_with_roles

    roles = read_settings(RoleSettings)
    url = database_url(get_settings())
    wait_for_database(url)
    for note in migrate_with_roles(url, roles):
        error_console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    console.print("Schema, roles and grants are up to date.", highlight=False)


def _exit_with(error: LogitrackError) -> NoReturn:
    """Print an error with its hint and exit with 1."""
    error_console.print("[bold red]error:[/]", escape(error.message), highlight=False, soft_wrap=True)
    if error.hint:
        error_console.print("[bold]hint:[/]", escape(error.hint), highlight=False, soft_wrap=True)
    sys.exit(1)


def main() -> None:
    """Run the command.

    A LogitrackError and an error of the disk are printed with a hint and exit with 1, Ctrl-C exits with 130.
    """
    # Dagster warns of features that this project uses on purpose.
    warnings.filterwarnings("ignore", message=r".*is currently in (beta|preview)")
    try:
        require_known_variables([Settings, ServiceSettings, RoleSettings])
        read_settings(Settings)
        app()
    except LogitrackError as error:
        _exit_with(error)
    except OSError as error:
        known = disk_error(error)
        if known is None:
            raise
        _exit_with(known)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
