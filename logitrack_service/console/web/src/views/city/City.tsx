import { useMemo } from "react";
import { HeatMap } from "../../charts/HeatMap";
import { LineChart } from "../../charts/LineChart";
import { compact, count, minutes, WEEKDAYS } from "../../format";
import { Legend } from "../../map/Legend";
import { quantileScale } from "../../map/scale";
import { ZoneMap } from "../../map/ZoneMap";
import { BOROUGHS, zoneName } from "../../map/zones";
import { RequireRole } from "../../session/RequireRole";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { Segments } from "../../ui/Segments";
import { useUrlState } from "../../url";
import { PairsTable } from "./PairsTable";
import {
  type CityState,
  cityState,
  DIRECTIONS,
  METRICS,
  type Metric,
  useMonths,
  useWeek,
  useZones,
  type ZoneFigures,
  zonesRequest,
} from "./queries";

type Change = ReturnType<typeof useUrlState>[1];

/** How long rides took: by zone, weekday and hour, month, and pair of zones. */
export default function City() {
  const [parameters, change] = useUrlState();
  const state = cityState(parameters);
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>City</h1>
          <p>How long the recorded trips took, and how much that varies.</p>
        </div>
      </div>
      <RequireRole>
        <Filters state={state} change={change} />
        <div className="cards city">
          <ZonesFigure state={state} change={change} />
          <WeekFigure state={state} />
          <MonthsFigure state={state} />
          <PairsTable state={state} parameters={parameters} change={change} />
        </div>
      </RequireRole>
    </div>
  );
}

function Filters({ state, change }: { state: CityState; change: Change }) {
  const known = useMonths({});
  const months = [...new Set(known.data?.rows.map(({ month }) => month))];
  const { filters } = state;
  const select = (name: "from_month" | "to_month", label: string, none: string) => (
    <div className="field">
      <label htmlFor={name}>{label}</label>
      <select id={name} value={filters[name] ?? ""} onChange={(event) => change({ [name]: event.currentTarget.value })}>
        <option value="">{none}</option>
        {months.map((month) => (
          <option key={month}>{month}</option>
        ))}
      </select>
    </div>
  );
  return (
    <div className="card">
      <div className="field-row">
        {select("from_month", "From month", "First")}
        {select("to_month", "To month", "Last")}
        <div className="field">
          <label htmlFor="fleet">Fleet</label>
          <select
            id="fleet"
            value={filters.fleet ?? ""}
            onChange={(event) => change({ fleet: event.currentTarget.value })}
          >
            <option value="">Both</option>
            <option value="yellow">Yellow</option>
            <option value="green">Green</option>
          </select>
        </div>
        <div className="field">
          <label htmlFor="borough">Borough of the pickup</label>
          <select
            id="borough"
            value={filters.borough ?? ""}
            onChange={(event) => change({ borough: event.currentTarget.value })}
          >
            <option value="">All</option>
            {BOROUGHS.map((borough) => (
              <option key={borough}>{borough}</option>
            ))}
          </select>
        </div>
      </div>
    </div>
  );
}

const VALUE: Record<Metric, (row: ZoneFigures) => number> = {
  trips: ({ trips }) => trips,
  minutes: ({ median_minutes: median }) => median,
  reliability: ({ ratio }) => ratio,
};
const LEGEND: Record<Metric, string> = {
  trips: "Trips",
  minutes: "Median minutes",
  reliability: "90th percentile ÷ median; 1 is perfectly reliable",
};

function ZonesFigure({ state, change }: { state: CityState; change: Change }) {
  const { metric, direction, zone } = state;
  const zones = useZones(state);
  const byZone = useMemo(() => new Map((zones.data ?? []).map((row) => [row.zone, row])), [zones.data]);
  const scale = useMemo(() => quantileScale((zones.data ?? []).map(VALUE[metric])), [zones.data, metric]);
  const classOf = useMemo(
    () => (number: number) => {
      const row = byZone.get(number);
      return row ? scale.classOf(VALUE[metric](row)) : "none";
    },
    [byZone, scale, metric],
  );
  const where = direction === "pickup" ? "from" : "to";
  return (
    <Figure
      wide
      title={
        zone === null
          ? `${METRICS[metric]} by zone`
          : `${metric === "trips" ? "Trips" : `${METRICS[metric]} of trips`} ${where} ${zoneName(zone)}`
      }
      subtitle={
        zone === null ? (
          "Click a zone to see where its trips go."
        ) : (
          <button type="button" className="link" onClick={() => change({ zone: null })}>
            All zones
          </button>
        )
      }
      rows={(zones.data ?? []).map((row) => ({ ...row, name: zoneName(row.zone) }))}
      request={zonesRequest(state)}
      controls={
        <div className="field-row">
          <Segments label="Measure" value={metric} options={METRICS} onChange={(value) => change({ metric: value })} />
          <Segments
            label="Direction"
            value={direction}
            options={DIRECTIONS}
            onChange={(value) => change({ direction: value })}
          />
        </div>
      }
    >
      <Loaded query={zones} height={560}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty>There are no trips with these filters.</Empty>
          ) : (
            <div className="map-frame">
              <ZoneMap
                label={`${METRICS[metric]} by zone. The button "Table" shows the same as a table.`}
                classOf={classOf}
                from={zone}
                onPick={(picked) => change({ zone: picked === zone ? null : picked })}
                wheelNeedsCtrl
                describe={({ zone: number }) => {
                  const row = byZone.get(number);
                  if (!row) return ["no trips"];
                  return [
                    `${count(row.trips)} trips`,
                    `median ${minutes(row.median_minutes)}, 90% within ${minutes(row.p90_minutes)}`,
                  ];
                }}
              />
              <Legend scale={scale} title={LEGEND[metric]} format={metric === "reliability" ? String : compact} />
            </div>
          )
        }
      </Loaded>
    </Figure>
  );
}

const HOURS = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, "0"));

function WeekFigure({ state: { metric, zone, direction, filters } }: { state: CityState }) {
  const query = { ...filters, ...(zone !== null && direction === "pickup" && { zone }) };
  const week = useWeek(query);
  const trips = metric === "trips";
  return (
    <Figure
      title={trips ? "Trips by weekday and hour" : "Mean minutes by weekday and hour"}
      subtitle={query.zone ? `Pickups in ${zoneName(query.zone)}` : "Hour of the pickup, New York time"}
      rows={week.data?.rows ?? []}
      request={{ path: "/analytics/weekday-hour", query }}
    >
      <Loaded query={week}>
        {({ rows }) => {
          const cells = new Map(rows.map((row) => [`${row.pickup_weekday} ${row.pickup_hour}`, row]));
          return rows.length === 0 ? (
            <Empty>There are no trips with these filters.</Empty>
          ) : (
            <HeatMap
              label="By weekday and hour of the pickup"
              legend={trips ? "Trips" : "Mean minutes"}
              rows={WEEKDAYS}
              columns={HOURS}
              columnTitle="Hour of the pickup"
              value={(weekday, hour) => {
                const row = cells.get(`${weekday + 1} ${hour}`);
                return row ? (trips ? row.trips : row.avg_duration) : null;
              }}
              format={compact}
            />
          );
        }}
      </Loaded>
    </Figure>
  );
}

const FLEET_LINES = { yellow: "line-0", green: "line-2" } as const;

function MonthsFigure({ state: { filters } }: { state: CityState }) {
  const { from_month, to_month, fleet } = filters;
  const query = { ...(from_month && { from_month }), ...(to_month && { to_month }), ...(fleet && { fleet }) };
  const months = useMonths(query);
  return (
    <Figure
      title="Duration by month"
      subtitle="Median, and the band up to the 90th percentile; all boroughs"
      rows={months.data?.rows ?? []}
      request={{ path: "/analytics/months", query }}
    >
      <Loaded query={months}>
        {({ rows }) => {
          const names = [...new Set(rows.map(({ month }) => month))].sort();
          const fleets = (["yellow", "green"] as const).filter((name) => rows.some((row) => row.fleet === name));
          if (rows.length === 0) return <Empty>No month has been published yet.</Empty>;
          return (
            <LineChart
              label="Median and 90th percentile of the duration by month"
              x={names}
              xTitle="Month"
              yTitle="Minutes"
              format={compact}
              fromZero
              series={fleets.map((name) => {
                const values = (field: "median_duration" | "p90_duration") =>
                  names.map((month) => rows.find((row) => row.month === month && row.fleet === name)?.[field] ?? null);
                return {
                  name: `${name} median`,
                  className: FLEET_LINES[name],
                  values: values("median_duration"),
                  band: {
                    name: "to the 90th percentile",
                    low: values("median_duration"),
                    high: values("p90_duration"),
                  },
                };
              })}
            />
          );
        }}
      </Loaded>
    </Figure>
  );
}
