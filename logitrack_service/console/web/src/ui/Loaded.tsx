import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ErrorNotice, Loading } from "./Notice";

interface Props<T> {
  query: UseQueryResult<T, Error>;
  height?: number;
  children: (data: T) => ReactNode;
}

/** Shows the data of a query, or that it is loading, or why there is none. */
export function Loaded<T>({ query, height, children }: Props<T>) {
  if (query.data !== undefined) return children(query.data);
  if (query.isError) return <ErrorNotice error={query.error} retry={() => query.refetch()} />;
  return <Loading height={height} />;
}
