// What a problem means for the person, and what to do.

import { SplitpinError as Problem } from "../../sdk/src/errors";
import { duration, has, t } from "./text";

/** What was thrown, as a problem. What is none is our own mistake. */
export function problem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem("internal");
}

/**
 * The sentence for a problem: that of its code, or what texts has for it, the keys of what is
 * said otherwise here.
 */
export function explain(p: Problem, texts: Record<string, string> = {}): string {
  const own = `fault.${p.code}`;
  const key = texts[p.code] ?? (has(own) ? own : p.status === 429 ? "fault.limited" : "fault.internal");
  const known = p.requestId && (p.status >= 500 || key === "fault.internal");
  return t(key, { time: duration(p.retryAfter || 60) }) + (known ? ` ${t("fault.reference", { id: p.requestId! })}` : "");
}
