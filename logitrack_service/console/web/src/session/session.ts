/** Who is signed in. The session is a cookie that scripts cannot read; the page keeps no password and no token. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ApiError, api, type Schemas, unwrap } from "../api/client";

export type Account = Schemas["Profile"];

export const ACCOUNT_KEY = ["me"];

export function useAccount() {
  return useQuery<Account | null, Error>({
    queryKey: ACCOUNT_KEY,
    queryFn: async () => {
      try {
        return await unwrap(api.GET("/me"));
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}

export type Role = Account["role"];

const RANKS: Record<Role, number> = { user: 0, analyst: 1, admin: 2 };

export function hasRole(account: Account | null | undefined, role: Role): boolean {
  return account !== null && account !== undefined && RANKS[account.role] >= RANKS[role];
}

export interface Credentials {
  username: string;
  password: string;
}

/** Returns functions that begin and end the session; both make the page ask again for everything that it shows. */
export function useSessionControl() {
  const queries = useQueryClient();
  const refresh = async () => {
    queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== ACCOUNT_KEY[0] });
    await queries.invalidateQueries({ queryKey: ACCOUNT_KEY });
  };
  return {
    async signIn(credentials: Credentials) {
      await unwrap(api.POST("/session", { body: credentials }));
      await refresh();
    },
    async register(credentials: Credentials) {
      await unwrap(api.POST("/register", { body: credentials }));
      await unwrap(api.POST("/session", { body: credentials }));
      await refresh();
    },
    async signOut() {
      await unwrap(api.DELETE("/session"));
      queries.setQueryData(ACCOUNT_KEY, null);
      await refresh();
    },
  };
}
