import { describe, expect, it } from "vitest";
import { CLASSES, quantileScale, roundNumber } from "../src/map/scale";
import { CITY, panned, zoomed } from "../src/map/viewport";
import { findZones, ringArea, ringPoints, ZONES, zoneOf } from "../src/map/zones";

describe("zones", () => {
  it("has every zone that the service accepts, each with an outline that holds its marker's surroundings", () => {
    expect(ZONES.map(({ zone }) => zone)).toEqual(Array.from({ length: 263 }, (_, index) => index + 1));
    for (const { path, x, y } of ZONES) {
      expect(path).toMatch(/^M[\d,L]+Z/);
      expect(x).toBeGreaterThan(CITY.x);
      expect(x).toBeLessThan(CITY.x + CITY.width);
      expect(y).toBeGreaterThan(CITY.y);
      expect(y).toBeLessThan(CITY.y + CITY.height);
    }
  });

  it("draws north above south and west left of east", () => {
    const [airport, bronx, staten] = [132, 259, 44].map((zone) => zoneOf(zone));
    expect(bronx?.y).toBeLessThan(airport?.y ?? 0);
    expect(staten?.x).toBeLessThan(airport?.x ?? 0);
  });

  it("joins arcs, also reversed ones, without repeating their ends", () => {
    const arcs = [
      [[0, 0] as const, [2, 0] as const],
      [[0, 0] as const, [0, 2] as const, [2, 0] as const],
    ];
    const ring = ringPoints([0, ~1], arcs);
    expect(ring).toEqual([
      [0, 0],
      [2, 0],
      [0, 2],
      [0, 0],
    ]);
    expect(ringArea(ring)).toBe(2);
  });

  it("finds zones by name, borough and number, the best first", () => {
    expect(findZones("132", 3)[0]?.name).toBe("JFK Airport");
    expect(findZones("jfk", 3).map(({ zone }) => zone)).toEqual([132]);
    expect(findZones("queens airport", 5).map(({ name }) => name)).toEqual(["JFK Airport", "LaGuardia Airport"]);
    expect(findZones("mid", 5)[0]?.name).toMatch(/^Mid/);
    expect(findZones("no such place", 5)).toEqual([]);
  });
});

describe("quantileScale", () => {
  it("spreads values over all classes, lowest first", () => {
    const { breaks, classOf } = quantileScale(Array.from({ length: 700 }, (_, index) => index));
    expect(breaks).toHaveLength(CLASSES - 1);
    expect(breaks).toEqual([...breaks].sort((a, b) => a - b));
    expect([classOf(0), classOf(699), classOf(null)]).toEqual(["q0", `q${CLASSES - 1}`, "none"]);
  });

  it("has one middle class for equal values", () => {
    const { breaks, classOf } = quantileScale([5, 5, 5]);
    expect(breaks).toEqual([]);
    expect(classOf(5)).toBe("q3");
  });

  it("rounds bounds to two digits", () => {
    expect([1234, 0.0567, 98.7].map(roundNumber)).toEqual([1200, 0.057, 99]);
  });
});

describe("viewport", () => {
  it("keeps the point under the pointer when it zooms", () => {
    const [x, y] = [4_000, 3_000];
    const view = zoomed(CITY, 2, x, y);
    expect(view.width).toBe(CITY.width / 2);
    expect((x - view.x) / view.width).toBeCloseTo((x - CITY.x) / CITY.width);
    expect((y - view.y) / view.height).toBeCloseTo((y - CITY.y) / CITY.height);
  });

  it("never shows more than the city, nor only water", () => {
    expect(zoomed(CITY, 0.1, 0, 0).width).toBe(CITY.width);
    const far = panned(CITY, 100_000, -100_000);
    expect(far.x + far.width / 2).toBe(CITY.x + CITY.width);
    expect(far.y + far.height / 2).toBe(CITY.y);
  });
});
