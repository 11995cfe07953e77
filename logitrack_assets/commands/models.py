"""`logitrack model`: list, show, promote and roll back model versions."""

from __future__ import annotations

import getpass
from importlib.util import find_spec

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Column, Table

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.artifact import ArtifactError, Manifest
from logitrack_assets.eta.registry import ModelRegistry, VersionSummary
from logitrack_assets.eta.shadow import ShadowFile
from logitrack_assets.eta.signed_registry import signed_registry
from logitrack_assets.settings import Settings

NO_CHAMPION_HINT = "See `logitrack model list` for candidates, or run `logitrack materialize --months …`."


def open_registry(settings: Settings) -> ModelRegistry:
    """Return the model registry of this installation."""
    return signed_registry(settings)


def champion_version(models: ModelRegistry) -> str:
    """Return the version of the champion.

    Raises:
        LogitrackError: There is no champion, or its pointer is unreadable.
    """
    champion = models.champion()
    if champion is None:
        raise LogitrackError("There is no champion yet.", hint=NO_CHAMPION_HINT)
    return champion.version


def print_versions(settings: Settings, console: Console) -> None:
    """Print one row for each version, newest first: its state, errors, coverage and training months.

    The reason is that of the promotion, or names each gate that a rejected candidate failed.
    """
    models = open_registry(settings)
    table = Table(
        Column("version", no_wrap=True, min_width=22),  # never wrapped, whatever the terminal's width: users copy it
        Column("state"),
        Column("MAE, min", justify="right"),
        Column("with distance", justify="right"),
        Column("coverage", justify="right"),
        Column("trained through"),
        Column("fleets"),
        Column("reason"),
        box=None,
        pad_edge=False,
    )
    for summary in models.listed():
        table.add_row(summary.version, summary.status, *_figures(summary.manifest), escape(_one_line(summary.reason)))
    try:
        models.champion()
    except ArtifactError as error:
        console.print(f"[red]{escape(str(error))}[/]", highlight=False)
    console.print(table if table.row_count else "No model yet. Run `logitrack materialize --months …`.")


def print_card(settings: Settings, version: str | None, console: Console) -> None:
    """Print the state and the model card of a version: of the champion when None.

    A terminal gets it formatted, a file or a pipe as Markdown.

    Raises:
        LogitrackError: There is no such version, or no champion.
    """
    models = open_registry(settings)
    version = version or champion_version(models)
    card = models.card(version)
    summary = _summary(models, version)
    state = f"{version}: {summary.status}" + (f", {_one_line(summary.reason)}" if summary.reason else "")
    if console.is_terminal:
        console.print(escape(state), highlight=False)
        console.print(Markdown(card))
    else:
        print(f"<!-- {state} -->\n{card}", file=console.file)


def print_training_result(settings: Settings, console: Console) -> None:
    """Print how good the champion is, and why the newest version is not the champion where it is not."""
    models = open_registry(settings)
    versions = models.listed()
    champion = next((summary for summary in versions if summary.status == "champion"), None)
    if versions and versions[0].status in ("candidate", "rejected", "unreadable"):
        newest = versions[0]
        console.print(f"\n[bold yellow]{newest.version} is not served[/]: {newest.status}", highlight=False)
        for reason in newest.reason.splitlines():
            console.print(f"  {escape(reason)}", highlight=False, soft_wrap=True)
    if champion is None or champion.manifest is None:
        console.print(
            "[bold yellow]There is no champion[/], so the service cannot predict yet.", highlight=False, soft_wrap=True
        )
        return
    console.print(f"\n[bold]Champion[/] {champion.version}", highlight=False)
    console.print(f"  {_quality(champion.manifest)}", highlight=False, soft_wrap=True)


def promote_version(settings: Settings, version: str, reason: str, console: Console, *, force: bool = False) -> None:
    """Make a version the champion.

    Args:
        settings: Of the installation.
        version: The version to serve.
        reason: Reason, kept in the history; a forced promotion adds the failed gates.
        console: Receives the result.
        force: Promote a version whose gates did not pass.

    Raises:
        LogitrackError: The version does not exist, is damaged, or did not pass its gates and `force` is not set.
    """
    models = open_registry(settings)
    failures = _gate_failures(models, version)
    if failures and not force:
        raise LogitrackError(
            "\n  ".join([f"{version} did not pass its gates and was not promoted:", *failures.values()]),
            hint="Train another candidate, or add --force to serve this one nevertheless.",
        )
    if failures:
        console.print(f"[bold yellow]warning:[/] {version} did not pass its gates:", highlight=False)
        for failure in failures.values():
            console.print(f"  {escape(failure)}", highlight=False, soft_wrap=True)
        reason = f"{reason} (forced; gates not passed: {', '.join(failures)})"
    champion = models.promote(version, by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion.", highlight=False)


def roll_back(settings: Settings, reason: str, console: Console) -> None:
    """Make the previous champion the champion again."""
    champion = open_registry(settings).rollback(by=getpass.getuser(), reason=reason)
    console.print(f"{champion.version} is champion again.", highlight=False)


def run_shadow(settings: Settings, version: str | None, console: Console, *, stop: bool) -> None:
    """Begin, end or print the comparison of a challenger with the champion.

    Raises:
        LogitrackError: There is no such version, it is the champion, or there is no champion.
    """
    shadow_file = ShadowFile(open_registry(settings))
    if stop:
        shadow = shadow_file.stop()
    elif version is not None:
        shadow = shadow_file.begin(version, by=getpass.getuser())
    else:
        shadow = shadow_file.read()
    console.print(shadow.summary if shadow else "No version is in shadow.", highlight=False, soft_wrap=True)


def _gate_failures(models: ModelRegistry, version: str) -> dict[str, str]:
    """Return a sentence for each gate that a version did not pass, by gate; empty for a present or former champion.

    A rejected candidate has them on record. The gates of any other candidate are evaluated now, because a run that
    ended early leaves a version that no gate has seen.
    """
    models.path(version)
    summary = _summary(models, version)
    if summary.status in ("champion", "former champion"):
        return {}
    if summary.status == "unreadable":
        return {}  # the promotion itself refuses it with the reason
    if summary.status == "rejected":
        return {line.split(":", 1)[0]: line for line in summary.reason.splitlines()}
    if find_spec("pyspark") is None:  # the gates read trips with the packages of training
        return {"unknown": "unknown: the gates need packages that are not installed (extra `assets`)."}
    from logitrack_assets.eta.evaluation.gates import evaluate_gates

    try:
        results = evaluate_gates(models, version)
    except ArtifactError as error:
        return {"not_worse_than_champion": f"not_worse_than_champion: {error.message}"}
    return {name: f"{name}: {result.why}" for name, result in results.items() if not result.passed}


def _summary(models: ModelRegistry, version: str) -> VersionSummary:
    return next(summary for summary in models.listed() if summary.version == version)


def _one_line(text: str) -> str:
    return "; ".join(text.splitlines())


def _figures(manifest: Manifest | None) -> tuple[str, str, str, str, str]:
    """Return error, error with distance, coverage, newest training month and fleets, as texts for a table."""
    if manifest is None:
        return "?", "?", "?", "?", "?"
    metrics = manifest.metrics
    return (
        f"{metrics.zones.mae_minutes:.2f}",
        f"{metrics.distance.mae_minutes:.2f}",
        f"{metrics.coverage_zones:.1%}",
        manifest.trained_through,
        ", ".join(manifest.fleets),
    )


def _quality(manifest: Manifest) -> str:
    metrics = manifest.metrics
    return (
        f"MAE {metrics.zones.mae_minutes:.2f} minutes from zones only, {metrics.distance.mae_minutes:.2f} with the "
        f"distance, {metrics.lookup.mae_minutes:.2f} for the baseline; the {metrics.level:.0%} interval covers "
        f"{metrics.coverage_zones:.1%}. Evaluated on {metrics.zones.trips:,} trips of "
        f"{', '.join(manifest.judged_on)}, trained through {manifest.trained_through}."
    )
