import { type PointerEvent, useState } from "react";
import { Legend } from "../map/Legend";
import { quantileScale } from "../map/scale";

interface Props {
  label: string;
  legend: string;
  rows: readonly string[];
  columns: readonly string[];
  columnTitle: string;
  value: (row: number, column: number) => number | null;
  format: (value: number) => string;
}

const CELL = 20;
const ROW = 26;
const LEFT = 42;
const BOTTOM = 36;

/** A grid of classes by two properties. */
export function HeatMap({ label, legend, rows, columns, columnTitle, value, format }: Props) {
  const [hover, setHover] = useState<{ row: number; column: number; left: number; top: number } | null>(null);
  const known = rows
    .flatMap((_, row) => columns.map((_, column) => value(row, column)))
    .filter((cell) => cell !== null);
  const scale = quantileScale(known);
  const width = LEFT + columns.length * CELL;
  const height = rows.length * ROW + BOTTOM;
  const onPointerMove = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const factor = width / box.width;
    const column = Math.floor(((event.clientX - box.left) * factor - LEFT) / CELL);
    const row = Math.floor(((event.clientY - box.top) * factor) / ROW);
    const inside = column >= 0 && column < columns.length && row >= 0 && row < rows.length;
    const left = Math.min(event.clientX - box.left + 12, box.width - 170);
    setHover(inside ? { row, column, left, top: event.clientY - box.top + 14 } : null);
  };
  const shown = hover && value(hover.row, hover.column);
  return (
    <div className="chart">
      <svg
        role="img"
        aria-label={label}
        viewBox={`0 0 ${width} ${height}`}
        onPointerMove={onPointerMove}
        onPointerLeave={() => setHover(null)}
      >
        <g className="cells">
          {rows.map((row, y) => (
            <g key={row}>
              <text className="tick" x={LEFT - 8} y={y * ROW + ROW / 2} dy="0.33em" textAnchor="end">
                {row}
              </text>
              {columns.map((column, x) => (
                <rect
                  key={column}
                  x={LEFT + x * CELL + 0.75}
                  y={y * ROW + 0.75}
                  width={CELL - 1.5}
                  height={ROW - 1.5}
                  rx={2.5}
                  className={scale.classOf(value(y, x))}
                />
              ))}
            </g>
          ))}
        </g>
        {columns.map(
          (column, x) =>
            x % 3 === 0 && (
              <text
                key={column}
                className="tick"
                x={LEFT + x * CELL + CELL / 2}
                y={rows.length * ROW + 14}
                textAnchor="middle"
              >
                {column}
              </text>
            ),
        )}
        <text className="axis-title" x={LEFT + (columns.length * CELL) / 2} y={height - 4} textAnchor="middle">
          {columnTitle}
        </text>
      </svg>
      <Legend scale={scale} title={legend} format={format} />
      {hover && (
        <div className="tooltip" style={{ left: hover.left, top: hover.top }}>
          <strong>
            {rows[hover.row]}, {columns[hover.column]}:00
          </strong>
          <span>{shown === null || shown === undefined ? "no trips" : `${format(shown)} ${legend.toLowerCase()}`}</span>
        </div>
      )}
    </div>
  );
}
