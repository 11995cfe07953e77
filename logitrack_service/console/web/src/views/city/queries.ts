/** The requests of the view "City". */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, type Fleet, unwrap } from "../../api/client";
import { BOROUGHS, type Borough, FIRST_ZONE, LAST_ZONE } from "../../map/zones";
import { choice, integer } from "../../url";

export const METRICS = { trips: "Trips", minutes: "Minutes", reliability: "Reliability" } as const;
export const DIRECTIONS = { pickup: "Pickups", dropoff: "Drop-offs" } as const;
export type Metric = keyof typeof METRICS;
export type Direction = keyof typeof DIRECTIONS;

export interface CityFilters {
  from_month?: string;
  to_month?: string;
  fleet?: Fleet;
  borough?: Borough;
}

export interface CityState {
  metric: Metric;
  direction: Direction;
  zone: number | null;
  filters: CityFilters;
}

const MONTH = /^20\d\d-(0[1-9]|1[0-2])$/;
const ALL_ROWS = 500; // there are 263 zones

export function cityState(parameters: URLSearchParams): CityState {
  const month = (name: string) => {
    const text = parameters.get(name) ?? "";
    return MONTH.test(text) ? text : undefined;
  };
  const fleet = choice(parameters, "fleet", ["all", "yellow", "green"]);
  const borough = choice(parameters, "borough", ["all", ...BOROUGHS]);
  return {
    metric: choice(parameters, "metric", ["trips", "minutes", "reliability"]),
    direction: choice(parameters, "direction", ["pickup", "dropoff"]),
    zone: integer(parameters, "zone", FIRST_ZONE, LAST_ZONE),
    filters: {
      ...(month("from_month") && { from_month: month("from_month") }),
      ...(month("to_month") && { to_month: month("to_month") }),
      ...(fleet !== "all" && { fleet }),
      ...(borough !== "all" && { borough }),
    },
  };
}

/** What the map knows about a zone. */
export interface ZoneFigures {
  zone: number;
  trips: number;
  median_minutes: number;
  p90_minutes: number;
  ratio: number;
}

/** Returns the request behind the map: all zones, or the zones that rides of one zone go to (or come from). */
export function zonesRequest({ zone, direction, filters }: CityState) {
  if (zone === null)
    return { path: "/analytics/busiest-zones" as const, query: { ...filters, direction, limit: ALL_ROWS } };
  const end = direction === "pickup" ? { zone } : { dropoff_zone: zone };
  return { path: "/analytics/zone-pairs" as const, query: { ...filters, ...end, limit: ALL_ROWS } };
}

export function useZones(state: CityState) {
  const request = zonesRequest(state);
  return useQuery({
    queryKey: ["city-zones", request],
    placeholderData: keepPreviousData,
    queryFn: async (): Promise<ZoneFigures[]> => {
      if (request.path === "/analytics/busiest-zones") {
        const { rows } = await unwrap(api.GET(request.path, { params: { query: request.query } }));
        return rows.map((row) => figures(row.zone, row));
      }
      const { rows } = await unwrap(api.GET(request.path, { params: { query: request.query } }));
      return rows.map((row) => figures(state.direction === "pickup" ? row.dropoff_zone : row.pickup_zone, row));
    },
  });
}

interface Durations {
  trips: number;
  median_duration: number;
  p90_duration: number;
  ratio: number;
}

function figures(zone: number, row: Durations): ZoneFigures {
  const { trips, median_duration, p90_duration, ratio } = row;
  return { zone, trips, median_minutes: median_duration, p90_minutes: p90_duration, ratio };
}

export function useMonths(filters: Pick<CityFilters, "fleet" | "from_month" | "to_month">) {
  return useQuery({
    queryKey: ["months", filters],
    placeholderData: keepPreviousData,
    queryFn: () => unwrap(api.GET("/analytics/months", { params: { query: filters } })),
  });
}

export function useWeek(filters: CityFilters & { zone?: number }) {
  return useQuery({
    queryKey: ["week", filters],
    placeholderData: keepPreviousData,
    queryFn: () => unwrap(api.GET("/analytics/weekday-hour", { params: { query: filters } })),
  });
}

export function usePairs(query: CityFilters & { min_trips: number; limit: number; zone?: number }) {
  return useQuery({
    queryKey: ["pairs", query],
    placeholderData: keepPreviousData,
    queryFn: () => unwrap(api.GET("/analytics/zone-pairs", { params: { query } })),
  });
}
