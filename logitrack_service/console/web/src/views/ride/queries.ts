/** The requests of the view "Ride". */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ApiError, api, type Fleet, type Schemas, unwrap } from "../../api/client";
import type { HttpRequest } from "../../api/export";
import { ZONES } from "../../map/zones";

export type Prediction = Schemas["PredictionResponse"];
export type Departures = Schemas["DeparturesResponse"];

/** A planned ride, as the address of the page tells it. */
export interface PlannedRide {
  from: number | null;
  to: number | null;
  /** New York's wall clock, YYYY-MM-DDTHH:MM; null for now. */
  at: string | null;
  miles: number | null;
  fleet: Fleet | null;
}

const MAX_MATRIX_ZONES = 100;
const EVERY_MINUTES = 15;
const HOURS = 6;

export function predictionRequest(ride: PlannedRide): HttpRequest {
  return {
    method: "POST",
    path: "/predict",
    body: {
      pickup_zone: ride.from,
      dropoff_zone: ride.to,
      ...(ride.at && { pickup_at: `${ride.at}:00` }),
      ...(ride.miles && { distance_miles: ride.miles }),
      ...(ride.fleet && { fleet: ride.fleet }),
    },
  };
}

export function usePrediction(ride: PlannedRide, enabled: boolean) {
  return useQuery({
    queryKey: ["predict", ride],
    queryFn: () => unwrap(api.POST("/predict", { body: predictionRequest(ride).body as Schemas["PredictionRequest"] })),
    enabled: enabled && ride.from !== null && ride.to !== null,
    staleTime: Number.POSITIVE_INFINITY, // every request is stored as a prediction of its own
  });
}

const LOG_RETRIES = 6;
const LOG_RETRY_MILLISECONDS = 700;

/** Returns what a prediction is made of. Answers are logged in the background, so a new one is unknown for a moment. */
export function useExplanation(predictionId: string, enabled: boolean) {
  return useQuery({
    queryKey: ["explanation", predictionId],
    queryFn: () =>
      unwrap(api.GET("/predictions/{prediction_id}", { params: { path: { prediction_id: predictionId } } })),
    enabled,
    staleTime: Number.POSITIVE_INFINITY,
    retry: (failures, error) => failures < LOG_RETRIES && error instanceof ApiError && error.status === 404,
    retryDelay: LOG_RETRY_MILLISECONDS,
  });
}

export function departuresQuery(ride: PlannedRide, arriveBy: string | null, probability: number) {
  return {
    pickup_zone: ride.from ?? 0,
    dropoff_zone: ride.to ?? 0,
    hours: HOURS,
    every_minutes: EVERY_MINUTES,
    probability,
    ...(ride.at && { pickup_at: `${ride.at}:00` }),
    ...(arriveBy && { arrive_by: `${arriveBy}:00` }),
    ...(ride.miles && { distance_miles: ride.miles }),
    ...(ride.fleet && { fleet: ride.fleet }),
  };
}

export function useDepartures(ride: PlannedRide, arriveBy: string | null, probability: number, enabled: boolean) {
  return useQuery({
    queryKey: ["departures", ride, arriveBy, probability],
    queryFn: () =>
      unwrap(api.GET("/predict/departures", { params: { query: departuresQuery(ride, arriveBy, probability) } })),
    enabled: enabled && ride.from !== null && ride.to !== null,
  });
}

export interface Reach {
  minutes: Map<number, number>;
  high: Map<number, number>;
  support: Map<number, number>;
}

/** Returns the minutes from one zone to every other, at one time. */
export function useReach(ride: PlannedRide, enabled: boolean) {
  const { from, at, fleet } = ride;
  return useQuery({
    queryKey: ["reach", from, at, fleet],
    enabled: enabled && from !== null,
    placeholderData: keepPreviousData,
    queryFn: async (): Promise<Reach> => {
      const zones = ZONES.map(({ zone }) => zone);
      const parts = Array.from({ length: Math.ceil(zones.length / MAX_MATRIX_ZONES) }, (_, index) =>
        zones.slice(index * MAX_MATRIX_ZONES, (index + 1) * MAX_MATRIX_ZONES),
      );
      const answers = await Promise.all(
        parts.map((part) =>
          unwrap(
            api.POST("/predict/matrix", {
              body: {
                pickup_zones: [from ?? 0],
                dropoff_zones: part,
                ...(at && { pickup_at: `${at}:00` }),
                ...(fleet && { fleet }),
              },
            }),
          ),
        ),
      );
      const collect = (name: "duration_minutes" | "high_minutes" | "support") =>
        new Map(
          answers.flatMap((answer) =>
            answer.dropoff_zones.map((zone, index) => [zone, answer[name][0]?.[index] ?? 0] as const),
          ),
        );
      return { minutes: collect("duration_minutes"), high: collect("high_minutes"), support: collect("support") };
    },
  });
}
