/** The requests of the view "Model". */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, type Fleet, type Schemas, unwrap } from "../../api/client";

export type Version = Schemas["VersionEntry"];
export type LiveErrorDay = Schemas["LiveErrorDayRow"];
export type Gate = Schemas["GateEntry"];

const REFRESH_MILLISECONDS = 15_000; // while the page is visible

export function useModels() {
  return useQuery({
    queryKey: ["models"],
    queryFn: () => unwrap(api.GET("/models")),
    refetchInterval: REFRESH_MILLISECONDS,
  });
}

export function useVersion(version: string | null) {
  return useQuery({
    queryKey: ["models", version],
    queryFn: () => unwrap(api.GET("/models/{version}", { params: { path: { version: version ?? "" } } })),
    enabled: version !== null,
  });
}

export interface LiveFilters {
  model_version?: string;
  fleet?: Fleet;
}

export function useLiveErrorDays(query: LiveFilters) {
  return useQuery({
    queryKey: ["live-error-days", query],
    queryFn: () => unwrap(api.GET("/analytics/live-error/days", { params: { query } })),
    refetchInterval: REFRESH_MILLISECONDS,
  });
}

export function useCoverage(query: LiveFilters) {
  return useQuery({
    queryKey: ["coverage", query],
    queryFn: () => unwrap(api.GET("/analytics/coverage", { params: { query } })),
    refetchInterval: REFRESH_MILLISECONDS,
  });
}

export function useDrift(query: LiveFilters) {
  return useQuery({
    queryKey: ["drift", query],
    queryFn: () => unwrap(api.GET("/analytics/drift", { params: { query } })),
  });
}

/** Promotes a version, or goes back to the previous one; each with a reason that the history keeps. */
export function usePromotion() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ version, reason }: { version: string | null; reason: string }) =>
      version === null
        ? unwrap(api.POST("/models/rollback", { body: { reason } }))
        : unwrap(api.POST("/models/{version}/promote", { params: { path: { version } }, body: { reason } })),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["models"] }),
  });
}
