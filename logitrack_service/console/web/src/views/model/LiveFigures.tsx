import { LineChart } from "../../charts/LineChart";
import { compact, count, percent } from "../../format";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { dailyMean } from "./daily";
import { useCoverage, useLiveErrorDays, type Version } from "./queries";

const NO_OUTCOMES =
  "No counted outcomes yet: they come from accounts that an admin vouches for, through POST /outcomes.";

/** Error of the served version by day, beside its error in the test. */
export function LiveErrorFigure({ serving, served }: { serving: string | null; served: Version | undefined }) {
  const query = serving ? { model_version: serving } : {};
  const days = useLiveErrorDays(query);
  return (
    <Figure
      title="Live error by day"
      subtitle="Mean absolute error of reported outcomes, with and without live correction"
      rows={days.data?.rows ?? []}
      request={{ path: "/analytics/live-error/days", query }}
    >
      <Loaded query={days}>
        {({ rows }) => {
          const names = [...new Set(rows.map(({ day }) => day))].sort();
          const tested = served?.metrics?.mae_minutes;
          const corrected = names.map((day) => dailyMean(rows, day, ({ mae_minutes }) => mae_minutes));
          const base = names.map((day) => dailyMean(rows, day, ({ base_mae_minutes }) => base_mae_minutes));
          if (rows.length === 0) return <Empty>{NO_OUTCOMES}</Empty>;
          return (
            <LineChart
              label="Mean absolute error by day"
              x={names}
              formatX={(day) => day.slice(5)}
              xTitle="Day of the pickup"
              yTitle="Minutes"
              format={compact}
              fromZero
              series={[
                { name: "as answered", className: "line-0", values: corrected },
                { name: "without live correction", className: "line-1", values: base },
                ...(tested === undefined
                  ? []
                  : [
                      { name: "error in the test", className: "line-4", dashed: true, values: names.map(() => tested) },
                    ]),
              ]}
            />
          );
        }}
      </Loaded>
    </Figure>
  );
}

/** Share of outcomes within their interval, for each level that was asked for. */
export function CoverageFigure({ serving }: { serving: string | null }) {
  const query = serving ? { model_version: serving } : {};
  const coverage = useCoverage(query);
  return (
    <Figure
      title="Coverage of the intervals"
      subtitle="Outcomes within their interval, beside the level that it promises"
      rows={coverage.data?.rows ?? []}
      request={{ path: "/analytics/coverage", query }}
    >
      <Loaded query={coverage}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>{NO_OUTCOMES}</Empty>
          ) : (
            <ul className="coverage">
              {rows.map(({ fleet, level, coverage: share, outcomes }) => (
                <li key={`${fleet} ${level}`}>
                  <span>
                    {fleet}, {percent(level)}
                  </span>
                  <span className="coverage-track" aria-hidden="true">
                    <i style={{ width: percent(share, 1) }} />
                    <b style={{ left: percent(level, 1) }} />
                  </span>
                  <span className="number">
                    {percent(share, 1)} <small>of {count(outcomes)}</small>
                  </span>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Figure>
  );
}
