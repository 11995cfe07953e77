/** The requests of the view "Query". */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, type Schemas, unwrap } from "../../api/client";
import type { Cell, Row } from "../../api/export";

export type Result = Schemas["QueryResponse"];

export function useSchema() {
  return useQuery({
    queryKey: ["schema"],
    queryFn: () => unwrap(api.GET("/analytics/schema")),
    staleTime: Number.POSITIVE_INFINITY,
  });
}

/** Runs a statement; the results of the statements of this visit are kept, so that "back" shows them again. */
export function useResult(sql: string, enabled: boolean) {
  return useQuery({
    queryKey: ["query", sql],
    queryFn: () => unwrap(api.POST("/analytics/query", { body: { sql } })),
    enabled: enabled && sql !== "",
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });
}

const SAVED_KEY = ["saved-queries"];

export function useSavedQueries() {
  const queries = useQueryClient();
  const onSuccess = () => queries.invalidateQueries({ queryKey: SAVED_KEY });
  return {
    saved: useQuery({ queryKey: SAVED_KEY, queryFn: () => unwrap(api.GET("/analytics/saved-queries")) }),
    save: useMutation({
      mutationFn: ({ name, sql }: { name: string; sql: string }) =>
        unwrap(api.PUT("/analytics/saved-queries/{name}", { params: { path: { name } }, body: { sql } })),
      onSuccess,
    }),
    remove: useMutation({
      mutationFn: (name: string) =>
        unwrap(api.DELETE("/analytics/saved-queries/{name}", { params: { path: { name } } })),
      onSuccess,
    }),
  };
}

/** Returns the rows of a result by column; a name that repeats gets a number. */
export function resultRows({ columns, rows }: Pick<Result, "columns" | "rows">): Row[] {
  const names = columns.map((column, index) => (columns.indexOf(column) === index ? column : `${column} ${index + 1}`));
  return rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] as Cell])));
}

/** Returns the columns that hold numbers: at least one, and nothing else but nulls. */
export function numericColumns(rows: readonly Row[]): string[] {
  return Object.keys(rows[0] ?? {}).filter(
    (column) =>
      rows.some((row) => typeof row[column] === "number") &&
      rows.every((row) => row[column] === null || typeof row[column] === "number"),
  );
}
