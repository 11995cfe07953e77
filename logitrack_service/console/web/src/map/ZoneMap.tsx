import { memo, type PointerEvent, useEffect, useRef, useState } from "react";
import { useSize } from "../ui/useSize";
import { CITY, MANHATTAN, panned, type Viewport, zoomed } from "./viewport";
import { ZONES, type Zone, zoneOf } from "./zones";

const CLICK_PIXELS = 5; // a pointer that moves less is a click, not a drag
const WHEEL_SPEED = 0.0018;
const BUTTON_FACTOR = 1.7;

interface Props {
  /** What the map shows, for screen readers. */
  label: string;
  classOf: (zone: number) => string;
  /** Lines of text about a zone, shown beside the pointer after its name. */
  describe: (zone: Zone) => string[];
  onPick: (zone: number) => void;
  from?: number | null;
  to?: number | null;
  /** Whether the wheel zooms only together with Ctrl, because the page around the map scrolls. */
  wheelNeedsCtrl?: boolean;
}

export function ZoneMap({ label, classOf, describe, onPick, from = null, to = null, wheelNeedsCtrl = false }: Props) {
  const [svg, size] = useSize<SVGSVGElement>();
  const [view, setView] = useState<Viewport>(CITY);
  const [hover, setHover] = useState<{ zone: Zone; x: number; y: number } | null>(null);
  const drag = useDrag(size, view, setView);
  const unitsPerPixel = Math.max(view.width / (size.width || 1), view.height / (size.height || 1));

  useEffect(() => {
    const element = svg.current;
    if (!element) return;
    const onWheel = (event: WheelEvent) => {
      if (wheelNeedsCtrl && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      setView((current) => {
        const [x, y] = mapPoint(current, box, event.clientX - box.left, event.clientY - box.top);
        return zoomed(current, Math.exp(-event.deltaY * WHEEL_SPEED), x, y);
      });
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, [svg, wheelNeedsCtrl]);

  const zoneAt = (event: PointerEvent) => {
    const target = event.target instanceof Element ? event.target.getAttribute("data-zone") : null;
    return target ? zoneOf(Number(target)) : null;
  };
  const zoomBy = (factor: number) =>
    setView((current) => zoomed(current, factor, current.x + current.width / 2, current.y + current.height / 2));

  return (
    <div className="map">
      <svg
        ref={svg}
        role="img"
        aria-label={label}
        viewBox={`${view.x} ${view.y} ${view.width} ${view.height}`}
        onPointerDown={drag.start}
        onPointerMove={(event) => {
          drag.move(event);
          const zone = zoneAt(event);
          const box = event.currentTarget.getBoundingClientRect();
          setHover(zone ? { zone, x: event.clientX - box.left, y: event.clientY - box.top } : null);
        }}
        onPointerUp={(event) => {
          const zone = zoneAt(event);
          if (!drag.end(event) && zone) onPick(zone.zone);
        }}
        onPointerCancel={drag.end}
        onPointerLeave={() => setHover(null)}
      >
        <Outlines classOf={classOf} />
        {hover && <path className="outline" d={hover.zone.path} />}
        <Journey from={zoneOf(from)} to={zoneOf(to)} unitsPerPixel={unitsPerPixel} />
      </svg>
      <div className="map-buttons">
        <button type="button" aria-label="Zoom in" title="Zoom in" onClick={() => zoomBy(BUTTON_FACTOR)}>
          +
        </button>
        <button type="button" aria-label="Zoom out" title="Zoom out" onClick={() => zoomBy(1 / BUTTON_FACTOR)}>
          −
        </button>
        <button type="button" onClick={() => setView(MANHATTAN)}>
          Manhattan
        </button>
        <button type="button" onClick={() => setView(CITY)}>
          City
        </button>
      </div>
      {hover && (
        <div
          className="tooltip"
          style={{
            left: Math.min(hover.x + 14, size.width - 190),
            top: Math.max(4, Math.min(hover.y + 14, size.height - 90)),
          }}
        >
          <strong>{hover.zone.name}</strong>
          <span>
            {hover.zone.borough} · zone {hover.zone.zone}
          </span>
          {describe(hover.zone).map((line) => (
            <span key={line}>{line}</span>
          ))}
        </div>
      )}
    </div>
  );
}

const Outlines = memo(function Outlines({ classOf }: { classOf: (zone: number) => string }) {
  return (
    <g className="zones">
      {ZONES.map(({ zone, path }) => (
        <path key={zone} data-zone={zone} d={path} className={classOf(zone)} />
      ))}
    </g>
  );
});

function Journey({ from, to, unitsPerPixel }: { from: Zone | null; to: Zone | null; unitsPerPixel: number }) {
  return (
    <g className="journey">
      {from && <path className="chosen" d={from.path} />}
      {to && <path className="chosen" d={to.path} />}
      {from && to && from !== to && <path className="line" d={arc(from, to)} />}
      {from && <Marker zone={from} letter="A" unitsPerPixel={unitsPerPixel} />}
      {to && from !== to && <Marker zone={to} letter="B" unitsPerPixel={unitsPerPixel} />}
    </g>
  );
}

function Marker({ zone, letter, unitsPerPixel }: { zone: Zone; letter: string; unitsPerPixel: number }) {
  return (
    <g className="marker" transform={`translate(${zone.x} ${zone.y}) scale(${unitsPerPixel})`}>
      <circle r={11} />
      <text textAnchor="middle" dy="0.36em">
        {letter}
      </text>
    </g>
  );
}

/** Returns a curve that is bent to one side by a fifth of its length. */
function arc(from: Zone, to: Zone): string {
  const middleX = (from.x + to.x) / 2 + (to.y - from.y) / 5;
  const middleY = (from.y + to.y) / 2 - (to.x - from.x) / 5;
  return `M${from.x},${from.y}Q${middleX},${middleY} ${to.x},${to.y}`;
}

/** Returns the point of the map under a pixel of an element that shows it as a whole, centred. */
function mapPoint(view: Viewport, size: { width: number; height: number }, x: number, y: number): [number, number] {
  const scale = Math.max(view.width / size.width, view.height / size.height);
  return [
    view.x + view.width / 2 + (x - size.width / 2) * scale,
    view.y + view.height / 2 + (y - size.height / 2) * scale,
  ];
}

/** Returns handlers that move the map with one pointer and zoom it with two. */
function useDrag(
  size: { width: number; height: number },
  view: Viewport,
  setView: (change: (current: Viewport) => Viewport) => void,
) {
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const travelled = useRef(0);
  const scale = Math.max(view.width / (size.width || 1), view.height / (size.height || 1));
  const distance = () => {
    const [a, b] = [...pointers.current.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };
  return {
    start(event: PointerEvent) {
      pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (pointers.current.size === 1) travelled.current = 0;
    },
    move(event: PointerEvent<SVGSVGElement>) {
      const known = pointers.current.get(event.pointerId);
      if (!known) return;
      const before = distance();
      const dx = event.clientX - known.x;
      const dy = event.clientY - known.y;
      pointers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
      travelled.current += Math.hypot(dx, dy);
      if (travelled.current < CLICK_PIXELS) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      if (pointers.current.size === 1) setView((current) => panned(current, -dx * scale, -dy * scale));
      else if (before > 0) {
        const box = event.currentTarget.getBoundingClientRect();
        const factor = distance() / before;
        setView((current) => {
          const [x, y] = mapPoint(current, box, event.clientX - box.left, event.clientY - box.top);
          return zoomed(current, factor, x, y);
        });
      }
    },
    /** Returns whether the pointer has moved the map. */
    end(event: PointerEvent): boolean {
      pointers.current.delete(event.pointerId);
      return travelled.current >= CLICK_PIXELS;
    },
  };
}
