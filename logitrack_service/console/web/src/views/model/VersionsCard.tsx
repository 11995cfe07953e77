import { type FormEvent, useState } from "react";
import type { Schemas } from "../../api/client";
import { compact, instant, percent } from "../../format";
import { hasRole, useAccount } from "../../session/session";
import { Loaded } from "../../ui/Loaded";
import { Empty, ErrorNotice, Notice } from "../../ui/Notice";
import type { useUrlState } from "../../url";
import { type Gate, usePromotion, useVersion, type Version } from "./queries";

interface Props {
  versions: readonly Version[];
  history: readonly Schemas["Promotion"][];
  serving: string | null;
  parameters: URLSearchParams;
  change: ReturnType<typeof useUrlState>[1];
}

const BADGES: Record<Version["status"], string> = {
  champion: "badge now",
  "former champion": "badge good",
  candidate: "badge",
  rejected: "badge bad",
  unreadable: "badge bad",
};

/** All versions; two of them can be compared, and an admin changes which one is served. */
export function VersionsCard({ versions, history, serving, parameters, change }: Props) {
  const known = (name: string) => versions.find(({ version }) => version === parameters.get(name))?.version ?? null;
  const first = known("version");
  const second = known("compare");
  const isAdmin = hasRole(useAccount().data, "admin");
  const toggle = (version: string) => {
    if (version === first) change({ version: second, compare: null });
    else if (version === second) change({ compare: null });
    else if (first === null) change({ version });
    else change({ compare: version });
  };
  return (
    <>
      <section className="card wide" aria-labelledby="versions">
        <div className="page-head">
          <h2 id="versions">Versions</h2>
          <p className="hint">Choose one to see its gates, a second one to compare.</p>
        </div>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it */}
        <section className="table-scroll" tabIndex={0} aria-label="Table of versions">
          <table>
            <thead>
              <tr>
                <th scope="col">
                  <span className="visually-hidden">Chosen</span>
                </th>
                <th scope="col">Version</th>
                <th scope="col">Status</th>
                <th scope="col">Trained on</th>
                <th scope="col" className="number">
                  Error, min
                </th>
                <th scope="col" className="number">
                  Baseline, min
                </th>
                <th scope="col" className="number">
                  Coverage
                </th>
                <th scope="col">Reason</th>
              </tr>
            </thead>
            <tbody>
              {versions.map(({ version, status, trained_from, trained_through, metrics, reason }) => (
                <tr key={version}>
                  <td>
                    <input
                      type="checkbox"
                      aria-label={`Show ${version}`}
                      checked={version === first || version === second}
                      onChange={() => toggle(version)}
                    />
                  </td>
                  <td>
                    <code>{version}</code>
                  </td>
                  <td>
                    <span className={BADGES[status]}>{status}</span>
                  </td>
                  <td>{trained_from ? `${trained_from} to ${trained_through}` : "–"}</td>
                  <td className="number">{metrics?.mae_minutes.toFixed(2) ?? "–"}</td>
                  <td className="number">{metrics?.baseline_mae_minutes.toFixed(2) ?? "–"}</td>
                  <td className="number">{metrics ? percent(metrics.coverage, 1) : "–"}</td>
                  <td className="wrap">{reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
        {versions.length === 0 && <Empty>No version has been trained yet.</Empty>}
        {isAdmin && (first !== null ? first !== serving : history.length > 1) && (
          <PromotionForm key={`${first} ${serving}`} version={first === serving ? null : first} />
        )}
      </section>
      {first !== null && second !== null && (
        <Comparison versions={versions.filter(({ version }) => version === first || version === second)} />
      )}
      {first !== null && <VersionDetail version={first} />}
      {second !== null && <VersionDetail version={second} />}
      <Timeline history={history} />
    </>
  );
}

const MEASURES: { name: string; value: (metrics: Schemas["VersionMetrics"]) => number; digits: number }[] = [
  { name: "Mean absolute error, min", value: ({ mae_minutes }) => mae_minutes, digits: 2 },
  {
    name: "… with the planned distance",
    value: ({ mae_minutes_with_distance }) => mae_minutes_with_distance,
    digits: 2,
  },
  { name: "… of the baseline", value: ({ baseline_mae_minutes }) => baseline_mae_minutes, digits: 2 },
  { name: "Root mean squared error, min", value: ({ rmse_minutes }) => rmse_minutes, digits: 2 },
  { name: "Coverage of the intervals", value: ({ coverage }) => coverage, digits: 3 },
  {
    name: "Mean width of the intervals, min",
    value: ({ interval_width_minutes }) => interval_width_minutes,
    digits: 1,
  },
  { name: "Trips in the test", value: ({ trips }) => trips, digits: 0 },
];

/** The metrics of two versions side by side. Each was tested on the month after its own training. */
function Comparison({ versions }: { versions: readonly Version[] }) {
  const [older, newer] = [...versions].sort((a, b) => a.version.localeCompare(b.version));
  const before = older?.metrics;
  const after = newer?.metrics;
  return (
    <section className="card wide" aria-label="Comparison">
      <h2>Comparison</h2>
      <p className="hint">
        Each version was tested on the newest of its months: compare errors beside their baselines.
      </p>
      {!before || !after ? (
        <Empty>One of the versions has no metrics that can be read.</Empty>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
        <section className="table-scroll" tabIndex={0} aria-label="Metrics of both versions">
          <table>
            <thead>
              <tr>
                <th scope="col">Metric</th>
                <th scope="col" className="number">
                  {older.version}
                </th>
                <th scope="col" className="number">
                  {newer.version}
                </th>
                <th scope="col" className="number">
                  Difference
                </th>
              </tr>
            </thead>
            <tbody>
              <tr>
                <td>Tested on</td>
                <td className="number">{older.evaluated_on?.join(", ")}</td>
                <td className="number">{newer.evaluated_on?.join(", ")}</td>
                <td />
              </tr>
              {MEASURES.map(({ name, value, digits }) => (
                <tr key={name}>
                  <td>{name}</td>
                  <td className="number">{value(before).toFixed(digits)}</td>
                  <td className="number">{value(after).toFixed(digits)}</td>
                  <td className="number">{(value(after) - value(before)).toFixed(digits)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

function PromotionForm({ version }: { version: string | null }) {
  const promotion = usePromotion();
  const [open, setOpen] = useState(false);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    promotion.mutate({ version, reason: String(new FormData(event.currentTarget).get("reason")) });
  };
  if (promotion.isSuccess) return <Notice>Done: every worker of the service loads it within seconds.</Notice>;
  return (
    <details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{version === null ? "Roll back to the previous champion" : `Promote ${version}`}</summary>
      <form className="field-row promotion" onSubmit={submit}>
        <div className="field wide">
          <label htmlFor="reason">Reason, kept in the history</label>
          <input id="reason" name="reason" required minLength={3} maxLength={500} />
        </div>
        <button type="submit" className="primary" disabled={promotion.isPending}>
          {version === null ? "Roll back" : "Promote"}
        </button>
      </form>
      {promotion.isError && <ErrorNotice error={promotion.error} />}
    </details>
  );
}

function VersionDetail({ version }: { version: string }) {
  const detail = useVersion(version);
  return (
    <section className="card" aria-label={`Gates of ${version}`}>
      <h2>
        Gates of <code>{version}</code>
      </h2>
      <Loaded query={detail}>
        {({ gates, summary: { metrics } }) => (
          <>
            {gates.length === 0 && <Empty>The gates of this version have not been evaluated.</Empty>}
            <ul className="gates">
              {gates.map((gate) => (
                <GateRow key={gate.name} gate={gate} />
              ))}
            </ul>
            {metrics && (
              <p className="hint">
                MAE {metrics.mae_minutes.toFixed(2)} min, with distance {metrics.mae_minutes_with_distance.toFixed(2)}{" "}
                min, RMSE {metrics.rmse_minutes.toFixed(2)} min, mean interval{" "}
                {metrics.interval_width_minutes.toFixed(1)} min wide
              </p>
            )}
          </>
        )}
      </Loaded>
    </section>
  );
}

function GateRow({ gate: { name, rule, passed, reason, facts } }: { gate: Gate }) {
  return (
    <li>
      <span className={passed ? "badge good" : "badge bad"}>{passed ? "✓ passed" : "✗ failed"}</span>
      <div>
        <b>{name.replaceAll("_", " ")}</b>
        <p className="hint">{rule}</p>
        {!passed && <p>{reason}</p>}
        <p className="hint">
          {Object.entries(facts)
            .map(
              ([fact, value]) => `${fact.replaceAll("_", " ")} ${typeof value === "number" ? compact(value) : value}`,
            )
            .join(" · ")}
        </p>
      </div>
    </li>
  );
}

function Timeline({ history }: { history: readonly Schemas["Promotion"][] }) {
  return (
    <section className="card" aria-label="Timeline">
      <h2>Timeline</h2>
      {history.length === 0 && <Empty>Nothing has been promoted yet.</Empty>}
      <ol className="timeline">
        {history.map(({ version, promoted_at, by, reason, kind }) => (
          <li key={`${promoted_at} ${version}`}>
            <time dateTime={promoted_at}>{instant(promoted_at)}</time>
            <p>
              {kind === "rollback" ? "Back to" : "Promoted"} <code>{version}</code>
            </p>
            <p className="hint">
              {by}: {reason}
            </p>
          </li>
        ))}
      </ol>
    </section>
  );
}
