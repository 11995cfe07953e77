import { describe, expect, it } from "vitest";
import { domain, ticks } from "../src/charts/axis";
import { line } from "../src/charts/LineChart";
import { ago, clock, minutes, monthsBetween, newYorkTime } from "../src/format";
import { dailyMean } from "../src/views/model/daily";

describe("axis", () => {
  it("has round ticks within the bounds", () => {
    expect(ticks(0, 60, 6)).toEqual([0, 10, 20, 30, 40, 50, 60]);
    expect(ticks(0.2, 0.9, 3)).toEqual([0.2, 0.4, 0.6, 0.8]);
    expect(ticks(20, 120, 4)).toEqual([20, 40, 60, 80, 100, 120]);
  });

  it("covers all values, and zero if asked for", () => {
    const [low, high] = domain([31, 58], false, 5);
    expect(low).toBeLessThanOrEqual(31);
    expect(high).toBeGreaterThanOrEqual(58);
    expect(domain([31, 58], true, 5)[0]).toBe(0);
    expect(domain([], false, 5)).toEqual([0, 1]);
    expect(domain([7], false, 5)).toEqual([0, 8.4]);
  });
});

describe("line", () => {
  it("has a gap where a value is missing", () => {
    const identity = (value: number) => value;
    expect(line([1, 2, null, 4], identity, identity)).toBe("M0.0,1.0L1.0,2.0M3.0,4.0");
  });
});

describe("format", () => {
  it("shows New York's wall clock as the service sends it", () => {
    expect(clock("2019-07-01T08:30:00-04:00")).toBe("08:30");
    expect(newYorkTime(new Date("2020-01-15T22:05:00Z"))).toBe("2020-01-15T17:05");
  });

  it("shows minutes, hours and distances in time", () => {
    expect([minutes(62.4), minutes(119.6), minutes(145)]).toEqual(["62 min", "2 h 00", "2 h 25"]);
    expect(monthsBetween("2019-11", "2020-02")).toBe(3);
    expect(ago("2020-01-01T00:00:00Z", Date.parse("2020-01-01T03:00:00Z"))).toBe("3 hours ago");
  });
});

describe("dailyMean", () => {
  const row = {
    fleet: "yellow" as const,
    model_version: "v",
    bias_minutes: 0,
    median_error_minutes: 0,
    coverage: 0.8,
    level: 0.8,
  };
  const rows = [
    { ...row, day: "2020-01-01", outcomes: 1, mae_minutes: 4, base_mae_minutes: null },
    { ...row, day: "2020-01-01", outcomes: 3, mae_minutes: 8, base_mae_minutes: 10 },
  ];

  it("weights by outcomes and leaves out rows without the value", () => {
    expect(dailyMean(rows, "2020-01-01", ({ mae_minutes }) => mae_minutes)).toBe(7);
    expect(dailyMean(rows, "2020-01-01", ({ base_mae_minutes }) => base_mae_minutes)).toBe(10);
    expect(dailyMean(rows, "2020-01-02", ({ mae_minutes }) => mae_minutes)).toBeNull();
  });
});
