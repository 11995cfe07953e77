/** The taxi zones: names, boroughs, and outlines in the units of the map (a unit is about 6 m). */

import { names, outlines } from "virtual:zones";

export const FIRST_ZONE = 1;
export const LAST_ZONE = 263;
const MIDDLE_LATITUDE = 40.7;
const UNITS_PER_DEGREE = 18_000; // of latitude

export interface Zone {
  zone: number;
  name: string;
  borough: string;
  path: string;
  /** Where a marker stands: the middle of the largest polygon. */
  x: number;
  y: number;
}

type Point = readonly [x: number, y: number];

export interface Outlines {
  arcs: readonly (readonly (readonly [number, number])[])[];
  shapes: readonly (readonly [zone: number, polygons: readonly (readonly (readonly number[])[])[]])[];
  transform: { scale: readonly [number, number]; translate: readonly [number, number] };
}

/** Returns the arcs of a quantized topology, projected; neighbours share arcs, so no gap opens between them. */
export function projectedArcs({ arcs, transform }: Outlines): Point[][] {
  const [scaleX, scaleY] = transform.scale;
  const [left, bottom] = transform.translate;
  const narrowing = Math.cos((MIDDLE_LATITUDE * Math.PI) / 180);
  return arcs.map((arc) => {
    let x = 0;
    let y = 0;
    return arc.map(([dx, dy]) => {
      x += dx;
      y += dy;
      const longitude = left + scaleX * x;
      const latitude = bottom + scaleY * y;
      return [
        Math.round((longitude + 74.3) * narrowing * UNITS_PER_DEGREE),
        Math.round((40.95 - latitude) * UNITS_PER_DEGREE),
      ] as const;
    });
  });
}

/** Returns the points of a ring; the index ~i stands for arc i reversed (TopoJSON specification, 2.1.4). */
export function ringPoints(indexes: readonly number[], arcs: readonly (readonly Point[])[]): Point[] {
  return indexes.flatMap((index, place) => {
    const arc = index >= 0 ? (arcs[index] ?? []) : [...(arcs[~index] ?? [])].reverse();
    return place === 0 ? arc : arc.slice(1);
  });
}

export function ringArea(ring: readonly Point[]): number {
  return ring.reduce((sum, [x, y], place) => {
    const [nextX, nextY] = ring[(place + 1) % ring.length] ?? [x, y];
    return sum + (x * nextY - nextX * y) / 2;
  }, 0);
}

function ringMiddle(ring: readonly Point[]): Point {
  const area = ringArea(ring);
  let middleX = 0;
  let middleY = 0;
  ring.forEach(([x, y], place) => {
    const [nextX, nextY] = ring[(place + 1) % ring.length] ?? [x, y];
    const cross = x * nextY - nextX * y;
    middleX += (x + nextX) * cross;
    middleY += (y + nextY) * cross;
  });
  return [Math.round(middleX / (6 * area)), Math.round(middleY / (6 * area))];
}

export function shapesOf(source: Outlines): Map<number, { path: string; x: number; y: number }> {
  const arcs = projectedArcs(source);
  return new Map(
    source.shapes.map(([zone, polygons]) => {
      const rings = polygons.map((polygon) => polygon.map((indexes) => ringPoints(indexes, arcs)));
      const outer = rings.map(([ring]) => ring ?? []);
      const largest = outer.reduce((a, b) => (Math.abs(ringArea(b)) > Math.abs(ringArea(a)) ? b : a));
      const [x, y] = ringMiddle(largest);
      const path = rings
        .flat()
        .map((ring) => `M${ring.map(([pointX, pointY]) => `${pointX},${pointY}`).join("L")}Z`)
        .join("");
      return [zone, { path, x, y }];
    }),
  );
}

const shapes = shapesOf(outlines);

export const ZONES: readonly Zone[] = names.flatMap(([zone, name, borough]) => {
  const shape = shapes.get(zone);
  return shape ? [{ zone, name, borough, ...shape }] : [];
});

const byNumber = new Map(ZONES.map((zone) => [zone.zone, zone]));

export function zoneOf(zone: number | null): Zone | null {
  return zone === null ? null : (byNumber.get(zone) ?? null);
}

export function zoneName(zone: number): string {
  return byNumber.get(zone)?.name ?? `Zone ${zone}`;
}

export const BOROUGHS = ["Manhattan", "Queens", "Brooklyn", "Bronx", "Staten Island", "EWR"] as const;
export type Borough = (typeof BOROUGHS)[number];

/** Returns the zones whose number, name or borough contains every word of a text; names that begin with it first. */
export function findZones(text: string, limit: number): Zone[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = ZONES.filter(({ zone, name, borough }) => {
    const haystack = `${zone} ${name} ${borough}`.toLowerCase();
    return words.every((word) => haystack.includes(word));
  });
  const first = words[0] ?? "";
  const rank = ({ zone, name }: Zone) =>
    String(zone) === first ? 0 : name.toLowerCase().startsWith(first) ? 1 : name.toLowerCase().includes(first) ? 2 : 3;
  return matches.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name)).slice(0, limit);
}
