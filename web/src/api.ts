// Calls of /v1. The shapes are those of package api; only what the form reads
// is named here.

export interface Attempt {
  id: string;
  identifier: string;
  state: string;
  code?: { length: number; alphabet: string };
  tries_left: number;
  expires_in: number; // seconds from the answer
  resend_in: number; // seconds; -1: no more messages
}

export interface Started {
  attempt: Attempt;
  secret: string;
}

export interface Granted {
  authorization_code: string;
  challenge_id: number;
}

/** A problem document of the server, or what stands for one when there was no answer. */
export class Problem extends Error {
  constructor(
    readonly code: string, // "offline" where no answer came
    readonly status: number,
    readonly requestId = "",
    readonly retryAfter = 0,
    readonly triesLeft: number | undefined = undefined,
    readonly challenge = "",
  ) {
    super(code);
  }
}

/** An answer that takes longer than this will not come. */
const patience = 20_000;

export class API {
  constructor(private readonly base: string) {}

  start(body: Record<string, string>): Promise<Started> {
    return this.call("POST", "/attempts", body);
  }

  attempt(id: string, secret: string): Promise<Attempt> {
    return this.call("GET", `/attempts/${encodeURIComponent(id)}`, undefined, secret);
  }

  answer(id: string, secret: string, code: string): Promise<Granted> {
    return this.call("POST", `/attempts/${encodeURIComponent(id)}/answer`, { code }, secret);
  }

  resend(id: string, secret: string): Promise<Attempt> {
    return this.call("POST", `/attempts/${encodeURIComponent(id)}/resend`, {}, secret);
  }

  private async call<T>(method: string, path: string, body?: object, secret?: string): Promise<T> {
    const headers: Record<string, string> = { Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    if (secret) headers["Attempt-Secret"] = secret;
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), patience);
    let status = 0;
    let retryAfter = 0;
    let answer: unknown;
    try {
      const response = await fetch(this.base + path, {
        method,
        headers,
        body: body ? JSON.stringify(body) : null,
        cache: "no-store",
        credentials: "same-origin",
        referrerPolicy: "no-referrer",
        redirect: "error",
        signal: stop.signal,
      });
      status = response.status;
      retryAfter = Number(response.headers.get("Retry-After")) || 0;
      const text = await response.text();
      answer = text ? JSON.parse(text) : {};
    } catch {
      // An answer that is no JSON comes from something in between, such as a
      // proxy that cannot reach the server.
      throw status ? new Problem("unavailable", status, "", retryAfter) : new Problem("offline", 0);
    } finally {
      clearTimeout(timer);
    }
    if (status < 300) return answer as T;
    const p = (answer && typeof answer === "object" ? answer : {}) as Record<string, unknown>;
    const text = (v: unknown): string => (typeof v === "string" ? v : "");
    const number = (v: unknown): number => (typeof v === "number" && Number.isFinite(v) ? v : 0);
    throw new Problem(
      text(p.code) || (status >= 500 ? "unavailable" : "internal"),
      status,
      text(p.request_id),
      number(p.retry_after) || retryAfter,
      typeof p.tries_left === "number" ? p.tries_left : undefined,
      text(p.challenge),
    );
  }
}
