import { ago, compact, count, instant } from "../../format";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { useUrlState } from "../../url";
import { type PipelineMonth, usePipelineMonths } from "./queries";

const STATES: Record<PipelineMonth["state"], { symbol: string; text: string }> = {
  ingested: { symbol: "✓", text: "ingested" },
  published: { symbol: "○", text: "published, not ingested" },
  failed: { symbol: "✗", text: "failed" },
  missing: { symbol: "·", text: "not published" },
};

/** Every month of every fleet, by its state; one of them can be chosen for its details. */
export function MonthsFigure() {
  const [parameters, change] = useUrlState();
  const months = usePipelineMonths();
  const chosen = parameters.get("month");
  return (
    <Figure
      title="Months"
      subtitle="As the source has them; choose one for its details"
      rows={months.data ?? []}
      request={{ path: "/pipeline/months" }}
    >
      <Loaded query={months}>
        {(rows) => {
          const detail = rows.find((row) => keyOf(row) === chosen);
          if (rows.length === 0) return <Empty>The source has not been asked yet.</Empty>;
          return (
            <>
              {[...new Set(rows.map(({ fleet }) => fleet))].map((fleet) => (
                <FleetMonths
                  key={fleet}
                  fleet={fleet}
                  months={rows.filter((row) => row.fleet === fleet)}
                  chosen={chosen}
                  onChoose={(key) => change({ month: key === chosen ? null : key })}
                />
              ))}
              <ul className="states">
                {Object.entries(STATES).map(([state, { symbol, text }]) => (
                  <li key={state}>
                    <i className={`month ${state}`}>{symbol}</i> {text}
                  </li>
                ))}
              </ul>
              {detail && <MonthDetail month={detail} />}
            </>
          );
        }}
      </Loaded>
    </Figure>
  );
}

function keyOf({ fleet, month }: PipelineMonth): string {
  return `${fleet}-${month}`;
}

interface FleetProps {
  fleet: string;
  months: readonly PipelineMonth[];
  chosen: string | null;
  onChoose: (key: string) => void;
}

function FleetMonths({ fleet, months, chosen, onChoose }: FleetProps) {
  const years = [...new Set(months.map(({ month }) => month.slice(0, 4)))].sort();
  return (
    <section className="fleet-months" aria-label={`Months of the ${fleet} fleet`}>
      <h3>{fleet}</h3>
      {years.map((year) => (
        <div key={year} className="year">
          <span>{year}</span>
          {Array.from({ length: 12 }, (_, index) => {
            const name = `${year}-${String(index + 1).padStart(2, "0")}`;
            const month = months.find((row) => row.month === name);
            if (!month) return <i key={name} className="month" aria-hidden="true" />;
            const { text, symbol } = STATES[month.state];
            return (
              <button
                key={name}
                type="button"
                className={`month ${month.state}`}
                aria-pressed={keyOf(month) === chosen}
                aria-label={`${name}: ${text}`}
                title={`${name}: ${text}${month.trips === null ? "" : `, ${compact(month.trips)} trips`}`}
                onClick={() => onChoose(keyOf(month))}
              >
                {symbol}
              </button>
            );
          })}
        </div>
      ))}
    </section>
  );
}

function MonthDetail({ month }: { month: PipelineMonth }) {
  const { fleet, month: name, state, trips, rejected_rows: rejected, ingested_at: at, reason } = month;
  return (
    <dl className="facts" aria-label={`${fleet} ${name}`}>
      <div>
        <dt>
          {fleet} {name}
        </dt>
        <dd>{STATES[state].text}</dd>
      </div>
      <div>
        <dt>Trips</dt>
        <dd>{trips === null ? "–" : count(trips)}</dd>
      </div>
      <div>
        <dt>Rejected rows</dt>
        <dd>{rejected === null ? "–" : count(rejected)}</dd>
      </div>
      <div>
        <dt>Ingested</dt>
        <dd title={at === null ? undefined : instant(at)}>{at === null ? "–" : ago(at)}</dd>
      </div>
      {reason && (
        <div className="wide">
          <dt>Reason</dt>
          <dd className="reason">{reason}</dd>
        </div>
      )}
    </dl>
  );
}
