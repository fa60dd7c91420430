// What a page of its own remembers for this tab. A phone may throw the page away
// while the person reads the message; with this, coming back finds the sign-in as
// it was. In a frame a reload brings another challenge, so there is no use.

import { config, framed } from "./page";

const key = "splitpin.attempt";

export interface Kept {
  id: string;
  secret: string;
}

export function remember(id: string, secret: string): void {
  if (framed) return;
  try {
    sessionStorage.setItem(key, JSON.stringify({ id, secret, challenge: config.challenge, state: config.state }));
  } catch {
    // Storage is switched off: a reload starts over.
  }
}

export function forget(): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // As above.
  }
}

/** What was remembered for this challenge and state, if anything. */
export function recall(): Kept | undefined {
  if (framed) return undefined;
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "null") as Record<string, string> | null;
    if (!kept || kept.challenge !== config.challenge || kept.state !== config.state) return undefined;
    return { id: kept.id ?? "", secret: kept.secret ?? "" };
  } catch {
    return undefined;
  }
}
