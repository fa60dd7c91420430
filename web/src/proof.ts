// What a sign-in in a frame leaves for the window that offers a passkey next: both
// are of our origin in the same tab of the same site, and nobody else reads there.
// It shows for a few minutes that this person just proved an address; the server
// says for how long.

export interface Proof {
  id: string;
  secret: string;
}

const key = "splitpin.proof";

/** Keeps the proof of one person at one project. */
export function leaveProof(base: string, identifier: string, proof: Proof): void {
  try {
    sessionStorage.setItem(key, JSON.stringify({ base, identifier, id: proof.id, secret: proof.secret }));
  } catch {
    // Storage is switched off: the window asks for a code.
  }
}

/** Takes the proof of that person away, where it is there. */
export function takeProof(base: string, identifier: string): Proof | undefined {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "null") as (Proof & Record<string, unknown>) | null;
    if (!kept || kept.base !== base || kept.identifier !== identifier) return undefined;
    return { id: kept.id, secret: kept.secret };
  } catch {
    return undefined;
  }
}

export function dropProof(): void {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // As above.
  }
}
