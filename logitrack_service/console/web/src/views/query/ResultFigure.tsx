import { useMemo } from "react";
import type { Row } from "../../api/export";
import { BarChart } from "../../charts/BarChart";
import { LineChart } from "../../charts/LineChart";
import { compact, count } from "../../format";
import { Legend } from "../../map/Legend";
import { quantileScale } from "../../map/scale";
import { ZoneMap } from "../../map/ZoneMap";
import { FIRST_ZONE, LAST_ZONE } from "../../map/zones";
import { DataTable, Figure } from "../../ui/Figure";
import { Empty, Notice } from "../../ui/Notice";
import { Segments } from "../../ui/Segments";
import { numericColumns, type Result, resultRows } from "./queries";

export const DISPLAYS = { table: "Table", line: "Line", bar: "Bar", map: "Map" } as const;
export type Display = keyof typeof DISPLAYS;

const MAX_LINES = 5;
const MAX_BARS = 40;
const ZONE_COLUMNS = ["zone", "pickup_zone", "dropoff_zone"];

interface Props {
  result: Result;
  sql: string;
  display: Display;
  onDisplay: (display: Display) => void;
}

/** The rows of a query as a table, as lines over the first column, as bars, or on the map. */
export function ResultFigure({ result, sql, display, onDisplay }: Props) {
  const rows = useMemo(() => resultRows(result), [result]);
  return (
    <Figure
      wide
      title="Result"
      subtitle={`${count(result.row_count)} rows in ${compact(result.milliseconds)} ms`}
      rows={rows}
      request={{ method: "POST", path: "/analytics/query", body: { sql } }}
      controls={<Segments label="Show as" value={display} options={DISPLAYS} onChange={onDisplay} />}
    >
      {result.truncated && (
        <Notice tone="warning">The query has more rows than the service returns: add a limit or a filter.</Notice>
      )}
      {rows.length === 0 ? <Empty>The query has no rows.</Empty> : <Shown display={display} rows={rows} />}
    </Figure>
  );
}

function Shown({ display, rows }: { display: Display; rows: Row[] }) {
  const numeric = useMemo(() => numericColumns(rows), [rows]);
  const [first = ""] = Object.keys(rows[0] ?? {});
  const values = numeric.filter((column) => column !== first && !ZONE_COLUMNS.includes(column));
  const [measure] = values;
  if (display === "table") return <DataTable caption="Result" rows={rows} />;
  if (measure === undefined) return <Empty>This needs a column of numbers after the first one.</Empty>;
  if (display === "map") return <ResultMap rows={rows} measure={measure} />;
  if (display === "bar") {
    const bars = rows
      .slice(0, MAX_BARS)
      .map((row) => ({ name: String(row[first] ?? "–"), value: Number(row[measure] ?? 0) }));
    return (
      <>
        <p className="hint">
          {measure} by {first}
          {rows.length > MAX_BARS && `, the first ${MAX_BARS} rows`}
        </p>
        <BarChart label={`${measure} by ${first}`} bars={bars} format={compact} />
      </>
    );
  }
  return (
    <LineChart
      label={`${values.join(", ")} by ${first}`}
      x={rows.map((row) => String(row[first] ?? "–"))}
      xTitle={first}
      yTitle={values.length === 1 ? measure : "value"}
      format={compact}
      height={320}
      series={values.slice(0, MAX_LINES).map((column, index) => ({
        name: column,
        className: `line-${index}`,
        values: rows.map((row) => (typeof row[column] === "number" ? row[column] : null)),
      }))}
    />
  );
}

function ResultMap({ rows, measure }: { rows: Row[]; measure: string }) {
  const column = ZONE_COLUMNS.find((name) => rows[0] && name in rows[0]);
  const byZone = useMemo(
    () =>
      new Map(
        rows.flatMap((row) => {
          const zone = Number(column === undefined ? 0 : row[column]);
          const value = row[measure];
          return zone >= FIRST_ZONE && zone <= LAST_ZONE && typeof value === "number" ? [[zone, value] as const] : [];
        }),
      ),
    [rows, column, measure],
  );
  const scale = useMemo(() => quantileScale([...byZone.values()]), [byZone]);
  const classOf = useMemo(() => (zone: number) => scale.classOf(byZone.get(zone)), [byZone, scale]);
  if (column === undefined) return <Empty>{`The map needs a column with the name ${ZONE_COLUMNS.join(", ")}.`}</Empty>;
  return (
    <div className="map-frame">
      <ZoneMap
        label={`${measure} by ${column}`}
        classOf={classOf}
        onPick={() => undefined}
        wheelNeedsCtrl
        describe={({ zone }) => {
          const value = byZone.get(zone);
          return [value === undefined ? "no row" : `${measure}: ${compact(value)}`];
        }}
      />
      <Legend scale={scale} title={measure} format={compact} />
    </div>
  );
}
