import { type KeyboardEvent, type PointerEvent, useState } from "react";
import { useSize } from "../ui/useSize";
import { domain, ticks } from "./axis";

export interface Series {
  name: string;
  /** Class of the style sheet that gives the line its colour: `line-0` to `line-4`. */
  className: string;
  values: readonly (number | null)[];
  /** Lower and upper bounds of a band around the line. */
  band?: { name: string; low: readonly (number | null)[]; high: readonly (number | null)[] };
  dashed?: boolean;
}

interface Props {
  label: string;
  /** Positions of the values, ascending: texts are spread evenly. */
  x: readonly string[];
  xTitle: string;
  yTitle: string;
  series: readonly Series[];
  format: (value: number) => string;
  formatX?: (x: string) => string;
  fromZero?: boolean;
  height?: number;
  /** A vertical line at one of the positions. */
  mark?: { x: string; name: string };
}

const MARGIN = { top: 14, right: 14, bottom: 44, left: 62 };
const PIXELS_PER_X_TICK = 74;
const PIXELS_PER_Y_TICK = 44;

/** Lines over evenly spaced positions, with bands; arrow keys and the pointer read out the values of a position. */
export function LineChart(props: Props) {
  const { label, x, xTitle, yTitle, series, format, formatX = String, fromZero = false, height = 250, mark } = props;
  const [box, { width }] = useSize<HTMLDivElement>();
  const [at, setAt] = useState<number | null>(null);
  const plotWidth = Math.max(1, width - MARGIN.left - MARGIN.right);
  const plotHeight = height - MARGIN.top - MARGIN.bottom;
  const numbers = series
    .flatMap(({ values, band }) => [...values, ...(band?.low ?? []), ...(band?.high ?? [])])
    .filter((value): value is number => value !== null);
  const wantedTicks = Math.round(plotHeight / PIXELS_PER_Y_TICK);
  const [low, high] = domain(numbers, fromZero, wantedTicks);
  const px = (index: number) => MARGIN.left + (x.length > 1 ? (index / (x.length - 1)) * plotWidth : plotWidth / 2);
  const py = (value: number) => MARGIN.top + (1 - (value - low) / (high - low || 1)) * plotHeight;
  const every = Math.max(1, Math.ceil(x.length / Math.max(1, Math.floor(plotWidth / PIXELS_PER_X_TICK))));
  const nearest = (event: PointerEvent<SVGSVGElement>) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left - MARGIN.left;
    return Math.min(x.length - 1, Math.max(0, Math.round((left / plotWidth) * (x.length - 1))));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    setAt(Math.min(x.length - 1, Math.max(0, (at ?? (step > 0 ? -1 : x.length)) + step)));
  };
  const markIndex = mark ? x.indexOf(mark.x) : -1;
  return (
    <div className="chart" ref={box}>
      <svg
        role="img"
        aria-label={label}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys read the values out
        tabIndex={0}
        width={width}
        height={height}
        onPointerMove={(event) => setAt(nearest(event))}
        onPointerLeave={() => setAt(null)}
        onBlur={() => setAt(null)}
        onKeyDown={onKeyDown}
      >
        {ticks(low, high, wantedTicks).map((value) => (
          <g key={value} className="tick">
            <line x1={MARGIN.left} x2={MARGIN.left + plotWidth} y1={py(value)} y2={py(value)} />
            <text x={MARGIN.left - 8} y={py(value)} dy="0.33em" textAnchor="end">
              {format(value)}
            </text>
          </g>
        ))}
        {x.map(
          (position, index) =>
            index % every === 0 && (
              <text
                key={position}
                className="tick"
                x={px(index)}
                y={height - 24}
                textAnchor={x.length > 1 && index === x.length - 1 ? "end" : "middle"}
              >
                {formatX(position)}
              </text>
            ),
        )}
        <text className="axis-title" x={MARGIN.left + plotWidth / 2} y={height - 5} textAnchor="middle">
          {xTitle}
        </text>
        <text
          className="axis-title"
          transform={`translate(12 ${MARGIN.top + plotHeight / 2}) rotate(-90)`}
          textAnchor="middle"
        >
          {yTitle}
        </text>
        {series.map(
          ({ name, className, band }) =>
            band && <path key={name} className={`band ${className}`} d={area(band, px, py)} />,
        )}
        {series.map(({ name, className, values, dashed }) => (
          <path key={name} className={`line ${className}${dashed ? " dashed" : ""}`} d={line(values, px, py)} />
        ))}
        {x.length === 1 &&
          series.map(({ name, className, values }) =>
            values[0] === null || values[0] === undefined ? null : (
              <circle key={name} className={`dot ${className}`} cx={px(0)} cy={py(values[0])} r={4} />
            ),
          )}
        {mark && markIndex >= 0 && (
          <g className="mark">
            <line x1={px(markIndex)} x2={px(markIndex)} y1={MARGIN.top} y2={MARGIN.top + plotHeight} />
            <text x={px(markIndex)} y={MARGIN.top - 3} textAnchor={markIndex > x.length / 2 ? "end" : "start"}>
              {mark.name}
            </text>
          </g>
        )}
        {at !== null && (
          <g className="crosshair">
            <line x1={px(at)} x2={px(at)} y1={MARGIN.top} y2={MARGIN.top + plotHeight} />
            {series.map(({ name, className, values }) => {
              const value = values[at];
              return value === null || value === undefined ? null : (
                <circle key={name} className={`dot ${className}`} cx={px(at)} cy={py(value)} r={4} />
              );
            })}
          </g>
        )}
      </svg>
      {series.length + series.filter(({ band }) => band).length > 1 && (
        <ul className="series">
          {series.map(({ name, className, band, dashed }) => (
            <li key={name}>
              <i className={`${className}${dashed ? " dashed" : ""}`} />
              {name}
              {band && (
                <>
                  <i className={`swatch ${className}`} />
                  {band.name}
                </>
              )}
            </li>
          ))}
        </ul>
      )}
      {at !== null && (
        <div className="tooltip" role="status" style={{ left: Math.min(px(at) + 12, width - 170), top: MARGIN.top }}>
          <strong>{formatX(x[at] ?? "")}</strong>
          {series.map(({ name, values, band }) => {
            const value = values[at];
            if (value === null || value === undefined) return null;
            const [bottom, top] = [band?.low[at], band?.high[at]];
            return (
              <span key={name}>
                {name}: {format(value)}
                {typeof bottom === "number" && typeof top === "number" && ` (${format(bottom)} to ${format(top)})`}
              </span>
            );
          })}
        </div>
      )}
    </div>
  );
}

type Position = (value: number) => number;

/** Returns the path of a line with a gap where a value is missing. */
export function line(values: readonly (number | null)[], px: Position, py: Position): string {
  let pen = "M";
  return values
    .map((value, index) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const step = `${pen}${px(index).toFixed(1)},${py(value).toFixed(1)}`;
      pen = "L";
      return step;
    })
    .join("");
}

function area(
  band: { low: readonly (number | null)[]; high: readonly (number | null)[] },
  px: Position,
  py: Position,
): string {
  const known = band.low.flatMap((low, index) => {
    const high = band.high[index];
    return low === null || high === null || high === undefined ? [] : [{ index, low, high }];
  });
  if (known.length === 0) return "";
  const upper = known.map(({ index, high }) => `${px(index).toFixed(1)},${py(high).toFixed(1)}`);
  const lower = known.map(({ index, low }) => `${px(index).toFixed(1)},${py(low).toFixed(1)}`).reverse();
  return `M${[...upper, ...lower].join("L")}Z`;
}
