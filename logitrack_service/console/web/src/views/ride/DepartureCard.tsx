import { LineChart } from "../../charts/LineChart";
import { clock, day, minutes, percent } from "../../format";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { choice } from "../../url";
import { type Departures, departuresQuery, type PlannedRide, useDepartures } from "./queries";

const PROBABILITIES = ["0.9", "0.75", "0.8", "0.95", "0.975"] as const;

interface Props {
  ride: PlannedRide;
  parameters: URLSearchParams;
  change: (changes: Record<string, string | number | null>) => void;
}

/** How the duration changes with the departure, and when to leave to be there in time. */
export function DepartureCard({ ride, parameters, change }: Props) {
  const arriveBy = parameters.get("arrive") || null;
  const probability = Number(choice(parameters, "probability", PROBABILITIES));
  const departures = useDepartures(ride, arriveBy, probability, true);
  const query = departuresQuery(ride, arriveBy, probability);
  return (
    <Figure
      title="When to leave"
      rows={departures.data?.departures ?? []}
      request={{ path: "/predict/departures", query }}
      controls={
        <div className="field-row">
          <div className="field wide">
            <label htmlFor="arrive">Arrive by, New York time</label>
            <input
              id="arrive"
              type="datetime-local"
              value={arriveBy ?? ""}
              onChange={(event) => change({ arrive: event.currentTarget.value || null })}
            />
          </div>
          <div className="field">
            <label htmlFor="probability">In time with</label>
            <select
              id="probability"
              value={probability}
              onChange={(event) => change({ probability: event.currentTarget.value })}
            >
              {[...PROBABILITIES].sort().map((value) => (
                <option key={value} value={value}>
                  {percent(Number(value), value === "0.975" ? 1 : 0)}
                </option>
              ))}
            </select>
          </div>
        </div>
      }
    >
      <Loaded query={departures} height={290}>
        {(found) => <DepartureCurve departures={found} />}
      </Loaded>
    </Figure>
  );
}

function DepartureCurve({
  departures: { departures, leave_by: leaveBy, arrive_by: arriveBy, probability, level },
}: {
  departures: Departures;
}) {
  const times = departures.map(({ estimated_duration_minutes: value }) => value);
  const best = departures[times.indexOf(Math.min(...times))];
  return (
    <>
      {leaveBy && arriveBy && (
        <p className="answer small">
          <span>Leave at</span> <strong>{clock(leaveBy)}</strong>
          <span>
            to arrive by {clock(arriveBy)} ({day(arriveBy)}) with {percent(probability)}.
          </span>
        </p>
      )}
      <LineChart
        label={`Duration by departure. The shortest ride, ${minutes(best?.estimated_duration_minutes ?? 0)}, leaves at ${clock(best?.pickup_at ?? "")}.`}
        x={departures.map(({ pickup_at: at }) => at)}
        formatX={clock}
        xTitle="Departure, New York time"
        yTitle="Minutes"
        format={(value) => String(Math.round(value))}
        height={220}
        mark={leaveBy ? { x: leaveBy, name: "leave by" } : undefined}
        series={[
          {
            name: "Estimate",
            className: "line-0",
            values: times,
            band: {
              name: `${percent(level)} of rides`,
              low: departures.map(({ low_minutes: low }) => low),
              high: departures.map(({ high_minutes: high }) => high),
            },
          },
        ]}
      />
    </>
  );
}
