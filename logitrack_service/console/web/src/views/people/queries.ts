/** The requests of the view "People". */

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "../../api/client";
import type { Role } from "../../session/session";

const ACCOUNTS_KEY = ["accounts"];

export function useAccounts() {
  return useInfiniteQuery({
    queryKey: ACCOUNTS_KEY,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: after }) => unwrap(api.GET("/accounts", { params: { query: { ...(after && { after }) } } })),
    getNextPageParam: ({ next }) => next ?? undefined,
  });
}

export type AccountChange = { role: Role } | { vouched: boolean } | { disabled: boolean };

export function useAccountChange(username: string) {
  const queries = useQueryClient();
  const params = { path: { username } };
  return useMutation({
    mutationFn: (change: AccountChange) => {
      if ("role" in change) return unwrap(api.PUT("/accounts/{username}/role", { params, body: change }));
      if ("vouched" in change) return unwrap(api.PUT("/accounts/{username}/vouched", { params, body: change }));
      return unwrap(api.PUT("/accounts/{username}/disabled", { params, body: change }));
    },
    onSuccess: () => queries.invalidateQueries({ queryKey: ACCOUNTS_KEY }),
  });
}

export function useSessions(username: string | null) {
  return useQuery({
    queryKey: ["sessions", username],
    queryFn: () => unwrap(api.GET("/accounts/{username}/sessions", { params: { path: { username: username ?? "" } } })),
    enabled: username !== null,
  });
}

export function useEndSession(username: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (sessionId: string) =>
      unwrap(
        api.DELETE("/accounts/{username}/sessions/{session_id}", {
          params: { path: { username, session_id: sessionId } },
        }),
      ),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["sessions", username] }),
  });
}

export function useAudit() {
  return useInfiniteQuery({
    queryKey: ["audit"],
    initialPageParam: undefined as number | undefined,
    queryFn: ({ pageParam: before }) =>
      unwrap(api.GET("/audit", { params: { query: { limit: 50, ...(before && { before }) } } })),
    getNextPageParam: ({ next }) => next ?? undefined,
  });
}
