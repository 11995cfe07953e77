"""The model card (Mitchell et al. 2019): what a version is, for a person, from its manifest alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from logitrack_assets.eta.artifact.predictor import Manifest, RegressionMetrics


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join('---' for _ in header)}|"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _errors(name: str, found: RegressionMetrics) -> list[object]:
    return [
        name,
        f"{found.trips:,}",
        f"{found.mae_minutes:.2f}",
        f"{found.rmse_minutes:.2f}",
        f"{found.r2:.3f}",
        f"{found.mape:.1%}",
    ]


def card(manifest: Manifest) -> str:
    """The card, Markdown."""
    m, recipe = manifest.metrics, manifest.recipe
    trips = sum(month.trips for month in manifest.training)
    months = manifest.training_months
    backtest = [
        (
            row["recipe"],
            row["month"],
            "yes" if row["distance"] else "no",
            f"{row['mae_minutes']:.3f}",
            f"{row['tested_on']:,}",
        )
        for row in recipe["chosen_by"]
    ]
    parts = [
        f"# ETA model {manifest.version}",
        "Answers how many minutes a New York taxi ride takes, from its two zones, the time, the fleet and, where it is "
        "known, the planned distance. Made for dispatch and planning; not for billing, nor for places outside the "
        "city's 263 taxi zones.",
        "\n".join(
            [
                f"- **Learned from** {trips:,} trips of {', '.join(manifest.fleets)}, {months[0]} to {months[-1]} "
                f"({len(months)} months).",
                f"- **Estimator** {manifest.estimator}, {recipe['forest']['trees']} trees of depth "
                f"{recipe['forest']['depth']}; seed {manifest.seed}.",
                f"- **TrainingStrategy** {recipe['name']}, chosen by the backtest below.",
                f"- **EvaluatedTrips on** {', '.join(manifest.judged_on)}: {recipe['judged']}.",
            ]
        ),
        "## Errors",
        table(
            ("answer", "trips", "MAE, min", "RMSE, min", "R²", "MAPE"),
            [
                _errors("from zones alone", m.zones),
                _errors("with the planned distance", m.distance),
                _errors("lookup: median of pair and hour", m.lookup),
            ],
        ),
        "## Intervals",
        f"The {m.level:.0%} interval held {m.coverage_zones:.1%} of the judged trips at a mean width of "
        f"{m.width_minutes_zones:.1f} minutes from zones alone, and {m.coverage_distance:.1%} at "
        f"{m.width_minutes_distance:.1f} minutes with the distance. They are calibrated on what was missed in "
        f"{', '.join(m.calibrated_on)}, months after the rows that the trees behind those answers had seen; "
        "coverage is measured on every other trip of the newest month, which the judged tables leave out. "
        f"Calibrated on the months before alone they held {m.coverage_forward_zones:.1%} and "
        f"{m.coverage_forward_distance:.1%}.",
        "## By what is known when one asks",
        table(
            ("by", "", "distance", "trips", "MAE", "lookup's MAE", "coverage", "width"),
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
                for part in m.slices
            ],
        ),
        "## Backtest",
        "Each recipe was trained on the months before a month and answered it. The newest month counts most, and a "
        "quicker recipe is taken only where it is better by 2%. Its trees are fewer and see a sample, so its "
        "errors lie a little above those of the judged model.",
        table(("recipe", "month", "distance", "MAE, min", "trips"), backtest),
        "## Limits",
        "A ride that begins in conditions that no month before it held (a storm, a closed bridge, the first weeks "
        "of a lockdown) is answered as if they were usual. Where fewer than five rides stand behind a pair of "
        "zones the answer says that it extrapolates.\n",
    ]
    return "\n\n".join(parts)
