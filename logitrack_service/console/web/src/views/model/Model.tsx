import { ago, instant, percent } from "../../format";
import { RequireRole } from "../../session/RequireRole";
import { Loaded } from "../../ui/Loaded";
import { Empty, Notice } from "../../ui/Notice";
import { useUrlState } from "../../url";
import { DriftFigure } from "./DriftFigure";
import { CoverageFigure, LiveErrorFigure } from "./LiveFigures";
import { useModels, type Version } from "./queries";
import { VersionsCard } from "./VersionsCard";

/** What is served, how well it predicts, and the versions behind it. */
export default function Model() {
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Model</h1>
          <p>What is served, how far off it was, and what could replace it.</p>
        </div>
      </div>
      <RequireRole>
        <ModelCards />
      </RequireRole>
    </div>
  );
}

function ModelCards() {
  const [parameters, change] = useUrlState();
  const models = useModels();
  return (
    <Loaded query={models} height={500}>
      {({ serving, trouble, versions, history }) => {
        const served = versions.find(({ version }) => version === serving);
        const since = history.find(({ version }) => version === serving);
        return (
          <>
            {trouble && <Notice tone="warning">A newer champion is not loaded: {trouble}</Notice>}
            {serving === null ? (
              <Empty>No model is served yet. The first training promotes one when its gates pass.</Empty>
            ) : (
              <Served version={served} name={serving} since={since?.promoted_at ?? null} reason={since?.reason ?? ""} />
            )}
            <div className="cards">
              <LiveErrorFigure serving={serving} served={served} />
              <CoverageFigure serving={serving} />
              <DriftFigure />
              <VersionsCard
                versions={versions}
                history={history}
                serving={serving}
                parameters={parameters}
                change={change}
              />
            </div>
          </>
        );
      }}
    </Loaded>
  );
}

interface ServedProps {
  version: Version | undefined;
  name: string;
  since: string | null;
  reason: string;
}

function Served({ version, name, since, reason }: ServedProps) {
  const metrics = version?.metrics;
  return (
    <section className="card" aria-label="The served model">
      <div className="page-head">
        <div>
          <h2>
            <code>{name}</code> <span className="badge now">serving</span>
          </h2>
          <p className="hint">
            {since && (
              <>
                since <time dateTime={since}>{instant(since)}</time> ({ago(since)}): {reason}
              </>
            )}
          </p>
        </div>
      </div>
      {metrics && (
        <dl className="facts">
          <div>
            <dt>Mean absolute error</dt>
            <dd>
              {metrics.mae_minutes.toFixed(2)} min
              <small>baseline {metrics.baseline_mae_minutes.toFixed(2)} min</small>
            </dd>
          </div>
          <div>
            <dt>Better than the baseline</dt>
            <dd>
              {percent(1 - metrics.mae_minutes / metrics.baseline_mae_minutes, 1)}
              <small>median by zone pair and hour</small>
            </dd>
          </div>
          <div>
            <dt>With the planned distance</dt>
            <dd>
              {metrics.mae_minutes_with_distance.toFixed(2)} min<small>mean absolute error</small>
            </dd>
          </div>
          <div>
            <dt>Coverage</dt>
            <dd>
              {percent(metrics.coverage, 1)}
              <small>{percent(metrics.level)} intended</small>
            </dd>
          </div>
          <div>
            <dt>Trained on</dt>
            <dd>
              {version.trained_through}
              <small>
                from {version.trained_from}, {version.fleets?.join(" and ")}
              </small>
            </dd>
          </div>
        </dl>
      )}
    </section>
  );
}
