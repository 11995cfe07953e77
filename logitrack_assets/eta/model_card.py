"""The model card (Mitchell et al. 2019): a version described for people, from its manifest only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from logitrack_assets.eta.artifact import MIN_SUPPORT, Manifest, ModelMetrics, RegressionMetrics


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join('---' for _ in header)}|"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def model_card(manifest: Manifest) -> str:
    """Return the model card, Markdown."""
    metrics = manifest.metrics
    parts = [
        f"# ETA model {manifest.version}",
        "Estimates the duration of a New York taxi ride in minutes from its two zones, the time, the fleet and, where "
        "known, the planned distance. Made for dispatch and planning; not for billing, nor for places outside the "
        "city's 263 taxi zones.",
        _provenance(manifest),
        "## Errors",
        _error_table(metrics),
        "## Intervals",
        f"The {metrics.level:.0%} interval covered {metrics.coverage_zones:.1%} of the evaluated trips at a mean width "
        f"of {metrics.width_minutes_zones:.1f} minutes from zones only, and {metrics.coverage_distance:.1%} at "
        f"{metrics.width_minutes_distance:.1f} minutes with the distance. Intervals are calibrated on the residuals of "
        f"{', '.join(metrics.calibrated_on)}, months that the trees behind those predictions were not trained on. "
        "Coverage is measured on every other trip of the newest month, with interval tables that exclude those trips. "
        f"Intervals from the earlier months only covered {metrics.coverage_forward_zones:.1%} and "
        f"{metrics.coverage_forward_distance:.1%}.",
        "## Slices",
        _slice_table(metrics),
        "## Backtest",
        "Each strategy was trained on the months before a month and predicted that month. The newest month has the "
        "highest weight, and a more responsive strategy is selected only where it is better by 2%. The backtest's "
        "trees are fewer and trained on a sample, so their errors are slightly above those of the evaluation model.",
        _backtest_table(manifest),
        "## Limits",
        "Conditions that no earlier month contained (a storm, a closed bridge, the first weeks of a lockdown) are "
        f"not reflected in the estimate. With fewer than {MIN_SUPPORT} training trips between two zones a prediction "
        "is marked as an extrapolation.\n",
    ]
    return "\n\n".join(parts)


def _provenance(manifest: Manifest) -> str:
    trips = sum(month.trips for month in manifest.training)
    months, recipe = manifest.training_months, manifest.recipe
    return "\n".join(
        [
            f"- **Trained on** {trips:,} trips of {', '.join(manifest.fleets)}, {months[0]} to {months[-1]} "
            f"({len(months)} months).",
            f"- **Estimator** {manifest.estimator}, {recipe['forest']['trees']} trees of depth "
            f"{recipe['forest']['depth']}; seed {manifest.seed}.",
            f"- **Training strategy** {recipe['name']}, selected by the backtest below.",
            f"- **Evaluated on** {', '.join(manifest.judged_on)}: {recipe['judged']}.",
        ]
    )


def _error_table(metrics: ModelMetrics) -> str:
    return markdown_table(
        ("prediction", "trips", "MAE, min", "RMSE, min", "R²", "MAPE"),
        [
            _error_row("from zones only", metrics.zones),
            _error_row("with the planned distance", metrics.distance),
            _error_row("baseline: median of zone pair and hour", metrics.lookup),
        ],
    )


def _error_row(name: str, errors: RegressionMetrics) -> list[object]:
    return [
        name,
        f"{errors.trips:,}",
        f"{errors.mae_minutes:.2f}",
        f"{errors.rmse_minutes:.2f}",
        f"{errors.r2:.3f}",
        f"{errors.mape:.1%}",
    ]


def _slice_table(metrics: ModelMetrics) -> str:
    return markdown_table(
        ("by", "", "distance", "trips", "MAE", "baseline's MAE", "coverage", "width"),
        [
            (
                part.by,
                part.value,
                "yes" if part.distance_known else "no",
                f"{part.trips:,}",
                f"{part.mae_minutes:.2f}",
                f"{part.lookup_mae_minutes:.2f}",
                f"{part.coverage:.1%}",
                f"{part.width_minutes:.1f}",
            )
            for part in metrics.slices
        ],
    )


def _backtest_table(manifest: Manifest) -> str:
    return markdown_table(
        ("strategy", "month", "distance", "MAE, min", "trips"),
        [
            (
                fold["recipe"],
                fold["month"],
                "yes" if fold["distance"] else "no",
                f"{fold['mae_minutes']:.3f}",
                f"{fold['tested_on']:,}",
            )
            for fold in manifest.recipe["chosen_by"]
        ],
    )
