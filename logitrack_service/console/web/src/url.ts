/** The state of a view lives in the query string of its address: it can be shared, and "back" works. */

import { useCallback } from "react";
import { useSearchParams } from "wouter";

type Changes = Record<string, string | number | null>;

/** Returns the parameters of the address and a function that changes some of them; null and "" remove one. */
export function useUrlState(): [URLSearchParams, (changes: Changes, options?: { replace?: boolean }) => void] {
  const [parameters, setParameters] = useSearchParams();
  const change = useCallback(
    (changes: Changes, options: { replace?: boolean } = {}) => {
      setParameters((current) => {
        const next = new URLSearchParams(current);
        for (const [name, value] of Object.entries(changes)) {
          if (value === null || value === "") next.delete(name);
          else next.set(name, String(value));
        }
        return next;
      }, options);
    },
    [setParameters],
  );
  return [parameters, change];
}

/** Returns one of the allowed values of a parameter, the first if the address names none of them. */
export function choice<T extends string>(parameters: URLSearchParams, name: string, allowed: readonly [T, ...T[]]): T {
  const value = parameters.get(name);
  return allowed.find((candidate) => candidate === value) ?? allowed[0];
}

/** Returns a whole number of a parameter, null if it is none or lies outside the bounds. */
export function integer(parameters: URLSearchParams, name: string, low: number, high: number): number | null {
  const text = parameters.get(name) ?? "";
  const value = Number(text);
  return /^\d+$/.test(text) && value >= low && value <= high ? value : null;
}
