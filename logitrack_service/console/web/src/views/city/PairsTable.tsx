import { Link } from "wouter";
import { count, minutes } from "../../format";
import { zoneName } from "../../map/zones";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { choice, type useUrlState } from "../../url";
import { type CityState, usePairs } from "./queries";

const COLUMNS = {
  ratio: "90% ÷ median",
  trips: "Trips",
  median_duration: "Median",
  p90_duration: "90% within",
} as const;
const ORDERS = ["desc", "asc"] as const;
const MIN_TRIPS = ["30", "10", "100", "1000"] as const;
const FETCHED_ROWS = 500;
const SHOWN_ROWS = 100;

interface Props {
  state: CityState;
  parameters: URLSearchParams;
  change: ReturnType<typeof useUrlState>[1];
}

/** The pairs of zones with the most trips, in the order of their reliability. */
export function PairsTable({ state: { filters, zone }, parameters, change }: Props) {
  const sort = choice(parameters, "sort", ["ratio", "trips", "median_duration", "p90_duration"]);
  const order = choice(parameters, "order", ORDERS);
  const minTrips = Number(choice(parameters, "min_trips", MIN_TRIPS));
  const query = { ...filters, min_trips: minTrips, limit: FETCHED_ROWS, ...(zone !== null && { zone }) };
  const pairs = usePairs(query);
  const sign = order === "desc" ? -1 : 1;
  const rows = [...(pairs.data?.rows ?? [])].sort((a, b) => sign * (a[sort] - b[sort]));
  return (
    <Figure
      wide
      title="Pairs of zones by reliability"
      subtitle={`The ${FETCHED_ROWS} busiest pairs${zone === null ? "" : ` from ${zoneName(zone)}`} with at least ${minTrips} trips`}
      rows={rows.map((row) => ({ ...row, pickup: zoneName(row.pickup_zone), dropoff: zoneName(row.dropoff_zone) }))}
      request={{ path: "/analytics/zone-pairs", query }}
      controls={
        <div className="field-row">
          <div className="field narrow">
            <label htmlFor="min-trips">Least trips of a pair</label>
            <select
              id="min-trips"
              value={minTrips}
              onChange={(event) => change({ min_trips: event.currentTarget.value })}
            >
              {[...MIN_TRIPS]
                .sort((a, b) => Number(a) - Number(b))
                .map((value) => (
                  <option key={value}>{value}</option>
                ))}
            </select>
          </div>
        </div>
      }
    >
      <Loaded query={pairs}>
        {() =>
          rows.length === 0 ? (
            <Empty>No pair has that many trips with these filters.</Empty>
          ) : (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
            <section className="table-scroll" tabIndex={0} aria-label="Pairs of zones">
              <table>
                <thead>
                  <tr>
                    <th scope="col">From</th>
                    <th scope="col">To</th>
                    {(Object.entries(COLUMNS) as [keyof typeof COLUMNS, string][]).map(([column, title]) => (
                      <th
                        key={column}
                        scope="col"
                        className="number"
                        aria-sort={sort === column ? (order === "asc" ? "ascending" : "descending") : undefined}
                      >
                        <button
                          type="button"
                          onClick={() =>
                            change({ sort: column, order: sort === column && order === "desc" ? "asc" : "desc" })
                          }
                        >
                          {title} {sort === column && (order === "asc" ? "↑" : "↓")}
                        </button>
                      </th>
                    ))}
                    <th scope="col">
                      <span className="visually-hidden">Plan</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {rows.slice(0, SHOWN_ROWS).map((row) => (
                    <tr key={`${row.pickup_zone} ${row.dropoff_zone}`}>
                      <td>{zoneName(row.pickup_zone)}</td>
                      <td>{zoneName(row.dropoff_zone)}</td>
                      <td className="number">{row.ratio.toFixed(2)}</td>
                      <td className="number">{count(row.trips)}</td>
                      <td className="number">{minutes(row.median_duration)}</td>
                      <td className="number">{minutes(row.p90_duration)}</td>
                      <td>
                        <Link href={`/?from=${row.pickup_zone}&to=${row.dropoff_zone}`}>Plan a ride</Link>
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
