// Proof that whoever collects a sign-in is whoever began it (RFC 7636).

import { SplitpinError } from "./errors.js";

/** 256 random bits, as 43 characters of base64url. */
export function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

/** What the server is told of a verifier beforehand. */
export async function challengeOf(verifier: string): Promise<string> {
  if (!crypto.subtle) {
    throw new SplitpinError("insecure_page", 0, {}, "Signing in needs a page on https or on localhost: elsewhere browsers have no crypto.subtle.");
  }
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** Bytes as RFC 4648, section 5, writes them, without padding. */
export function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
}
