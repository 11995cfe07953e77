/** The requests of the view "Pipeline". They are repeated while the page is visible. */

import { useQuery } from "@tanstack/react-query";
import { api, type Schemas, unwrap } from "../../api/client";

export type PipelineMonth = Schemas["PipelineMonthEntry"];
export type PipelineRun = Schemas["PipelineRunEntry"];

const REFRESH_MILLISECONDS = 10_000;

export function usePipelineMonths() {
  return useQuery({
    queryKey: ["pipeline-months"],
    queryFn: () => unwrap(api.GET("/pipeline/months")),
    refetchInterval: REFRESH_MILLISECONDS,
  });
}

export function usePipelineRuns() {
  return useQuery({
    queryKey: ["pipeline-runs"],
    queryFn: () => unwrap(api.GET("/pipeline/runs")),
    refetchInterval: REFRESH_MILLISECONDS,
  });
}

export function usePipelineHealth() {
  return useQuery({
    queryKey: ["pipeline-health"],
    queryFn: () => unwrap(api.GET("/pipeline/health")),
    refetchInterval: REFRESH_MILLISECONDS,
  });
}

export interface MonthFilter {
  from_month?: string;
  to_month?: string;
}

export function useRejections(query: MonthFilter) {
  return useQuery({
    queryKey: ["rejections", query],
    queryFn: () => unwrap(api.GET("/analytics/rejections", { params: { query } })),
  });
}
