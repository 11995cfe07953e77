import { ago, count, instant } from "../../format";
import { RequireRole } from "../../session/RequireRole";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { MonthsFigure } from "./MonthsFigure";
import { type PipelineRun, usePipelineHealth, usePipelineRuns } from "./queries";
import { RejectionsFigure } from "./RejectionsFigure";

/** Which months are in, what runs, and what needs a person. */
export default function Pipeline() {
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Pipeline</h1>
          <p>Which months are in, what runs, and what needs a person.</p>
        </div>
      </div>
      <RequireRole needed="analyst">
        <Health />
        <div className="cards">
          <MonthsFigure />
          <RejectionsFigure />
          <RunsFigure />
        </div>
      </RequireRole>
    </div>
  );
}

const STATUS_BADGES = { ok: "badge good", degraded: "badge warn", failed: "badge bad" } as const;

function Health() {
  const health = usePipelineHealth();
  return (
    <section className="card" aria-label="Health">
      <Loaded query={health} height={90}>
        {({ status, checked_at, parts, dagster_url }) => (
          <>
            <div className="page-head">
              <h2>
                Health <span className={STATUS_BADGES[status]}>{status}</span>
              </h2>
              <p className="hint">
                {checked_at && `checked ${ago(checked_at)} · `}
                <a href={dagster_url}>Open Dagster</a>
              </p>
            </div>
            <ul className="parts">
              {parts.map(({ part, status: state, fact, hint }) => (
                <li key={part}>
                  <span className={STATUS_BADGES[state]}>{state}</span>
                  <div>
                    <b>{part.replaceAll("_", " ")}</b>
                    <p className="hint">{fact}</p>
                    {hint && state !== "ok" && <p>{hint}</p>}
                  </div>
                </li>
              ))}
            </ul>
          </>
        )}
      </Loaded>
    </section>
  );
}

const RUN_BADGES: Record<string, string> = {
  SUCCESS: "badge good",
  FAILURE: "badge bad",
  CANCELED: "badge",
  STARTED: "badge now",
};

function RunsFigure() {
  const runs = usePipelineRuns();
  return (
    <Figure
      wide
      title="Runs"
      subtitle="The newest first; a run with a problem needs a look"
      rows={runs.data ?? []}
      request={{ path: "/pipeline/runs" }}
    >
      <Loaded query={runs}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty>Nothing has run yet.</Empty>
          ) : (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
            <section className="table-scroll" tabIndex={0} aria-label="Runs">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Job</th>
                    <th scope="col">Status</th>
                    <th scope="col">Months</th>
                    <th scope="col">Created</th>
                    <th scope="col" className="number">
                      Seconds
                    </th>
                    <th scope="col">Reason</th>
                    <th scope="col">
                      <span className="visually-hidden">Link</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((run) => (
                    <tr key={run.run_id}>
                      <td>{run.job}</td>
                      <td>
                        <span className={RUN_BADGES[run.status] ?? "badge"}>{run.status.toLowerCase()}</span>
                      </td>
                      <td>{monthsText(run)}</td>
                      <td>{instant(run.created_at)}</td>
                      <td className="number">{secondsText(run)}</td>
                      <td className="wrap">
                        {run.problem && <p className="problem">{run.problem}</p>}
                        {run.reason ?? (run.problem ? "" : "–")}
                      </td>
                      <td>
                        <a href={run.url}>Dagster</a>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </section>
          )
        }
      </Loaded>
    </Figure>
  );
}

function monthsText({ first_month: first, last_month: last }: PipelineRun): string {
  if (first === null) return "–";
  return last === null || last === first ? first : `${first} to ${last}`;
}

function secondsText({ started_at: started, ended_at: ended }: PipelineRun): string {
  if (started === null) return "–";
  return count(Math.round(((ended === null ? Date.now() : Date.parse(ended)) - Date.parse(started)) / 1000));
}
