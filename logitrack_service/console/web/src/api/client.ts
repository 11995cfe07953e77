/** The typed client of the service, made from its own OpenAPI document, and the errors that it can answer. */

import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Fleet = "yellow" | "green";

const SAFE_METHODS = new Set(["GET", "HEAD"]);
const CSRF_COOKIE = "logitrack_csrf";

/** A request that the service refused, as its problem document (RFC 9457) tells it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly fields: Record<string, string> = {},
  ) {
    super(message);
  }
}

/** Sends the token that proves that a request comes from this page; other sites cannot read the cookie. */
const csrf: Middleware = {
  onRequest({ request }) {
    if (!SAFE_METHODS.has(request.method)) request.headers.set("X-CSRF-Token", cookie(CSRF_COOKIE));
    return request;
  },
};

export const api = createClient<paths>({ baseUrl: location.origin, credentials: "same-origin" });
api.use(csrf);

/**
 * Returns the body of an answer, or throws what the service said against the request.
 *
 * The page asks for JSON only, so the text of an alternative (CSV) is left out of the type.
 */
export async function unwrap<T>(
  answer: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<Exclude<T, string>> {
  const { data, error, response } = await answer.catch(() => {
    throw new ApiError(0, "The service does not answer.");
  });
  if (!response.ok) throw problemOf(response.status, error);
  return data as Exclude<T, string>;
}

function problemOf(status: number, body: unknown): ApiError {
  const problem = (typeof body === "object" && body !== null ? body : {}) as Partial<Schemas["Problem"]>;
  const fields = Object.fromEntries((problem.errors ?? []).map(({ field, message }) => [field, message]));
  const listed = Object.entries(fields).map(([field, message]) => `${field}: ${message}`);
  const text = [problem.detail ?? problem.title ?? `The service answered with status ${status}.`, ...listed].join(" ");
  return new ApiError(status, text, fields);
}

function cookie(name: string): string {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}
