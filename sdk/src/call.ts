// One request to /v1, and what its answer means.

import { SplitpinError } from "./errors.js";

/** Where the calls of one project go, and by what. */
export interface Server {
  /** Ends in /v1. */
  readonly base: string;
  /** Stands in for the browser's fetch in tests. */
  readonly fetch?: typeof fetch;
}

/** An answer that takes longer than this will not come, in milliseconds. */
export const patience = 20_000;

/**
 * Sends one request and returns what the answer holds, or undefined where it
 * holds nothing. Any answer that is none of the server's, such as the page of a
 * proxy that cannot reach it, is `unavailable`.
 */
export async function call<T>(server: Server, method: string, path: string, body?: object, headers?: Record<string, string>): Promise<T> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), patience);
  let status = 0;
  let retryAfter: number | undefined;
  let answer: any;
  try {
    const response = await (server.fetch ?? fetch)(server.base + path, {
      method,
      headers: { ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body ? JSON.stringify(body) : null,
      cache: "no-store",
      credentials: "same-origin", // the server's own pages have a cookie that spares people limits
      referrerPolicy: "no-referrer",
      redirect: "error",
      signal: stop.signal,
    });
    status = response.status;
    retryAfter = Number(response.headers.get("Retry-After")) || undefined;
    const text = await response.text();
    answer = text ? JSON.parse(text) : undefined;
  } catch (cause) {
    throw new SplitpinError(status ? "unavailable" : "offline", status, { retryAfter, cause });
  } finally {
    clearTimeout(timer);
  }
  if (status < 300) return answer;

  // What stands between the server and the page may write JSON of its own.
  const is = <T>(type: string, value: T): T | undefined => (typeof value === type ? value : undefined);
  throw new SplitpinError(
    is("string", answer?.code) || (status < 500 ? "internal" : "unavailable"),
    status,
    {
      requestId: is("string", answer?.request_id),
      retryAfter: is("number", answer?.retry_after) ?? retryAfter,
      triesLeft: is("number", answer?.tries_left),
      field: is("string", answer?.field),
      challenge: is("string", answer?.challenge),
    },
    is("string", answer?.detail),
  );
}
