// Signing in on the server's own page: there and back again.

import { SplitpinError } from "./errors.js";
import { challengeOf, random } from "./pkce.js";
import type { TokenRequest } from "./shapes.js";
import { tab } from "./storage.js";

export interface SignInOptions {
  /**
   * Where people come back to, on an origin that the project lists. This page
   * without its query where nothing is said. A relative one is taken from here.
   */
  redirectUrl?: string;
  /** What the page asks for first, where the project has both. Email addresses where nothing is said. */
  type?: "email" | "phone";
  /** Send a link where the project has links and codes. It sends codes then where nothing is said. */
  link?: boolean;
  /** An address or number to fill in, of that type. */
  loginHint?: string;
  /** An allow-list of the project to hold the address against. */
  formId?: string;
  /** Go to this provider at once, such as "GITHUB", instead of showing the sign-in page. */
  provider?: string;
  /** For a page that sends people on by itself: it leaves no entry in the history that would send them here again. */
  replace?: boolean;
}

/** What stays behind in the tab. Nobody else can redeem the code that comes back. */
interface Kept {
  state: string;
  verifier: string;
  redirectUrl: string;
}

/** The parameters that the server's pages add to the address of one of the app's. */
const ours = ["code", "state", "challenge_id", "iss", "error", "auth_method"];

/** Takes them out of the address bar, and more. */
export function clear(url: URL, more: string[] = []): void {
  for (const name of [...ours, ...more]) url.searchParams.delete(name);
  history.replaceState(history.state, "", url);
}

/** Returns the address of the sign-in page, and keeps in the tab what the way back needs. */
export async function signInUrl(server: string, project: string, key: string, options: SignInOptions): Promise<string> {
  const redirectUrl = new URL(options.redirectUrl ?? location.pathname, location.href).href;
  const kept: Kept = { state: random(), verifier: random(), redirectUrl };
  const url = new URL(server + (options.provider ? `/social/${encodeURIComponent(options.provider)}` : "/signin"));
  url.search = new URLSearchParams({
    project,
    redirect_url: redirectUrl,
    state: kept.state,
    code_challenge: await challengeOf(kept.verifier),
    ...(options.type && { type: options.type.toUpperCase() }),
    ...(options.link && { auth_method: "MAGIC_LINK" }),
    ...(options.loginHint && { login_hint: options.loginHint }),
    ...(options.formId && { form_id: options.formId }),
  }).toString();
  tab.write(key, kept);
  if (tab.read<Kept>(key)?.state !== kept.state) {
    throw new SplitpinError("storage_off", 0, {}, "This browser keeps nothing for this site. Please allow it to, and sign in again.");
  }
  return url.href;
}

/**
 * Reads what the sign-in page sent back. Null: this page is not the way back.
 * The code leaves the address bar first of all.
 */
export function comeBack(issuers: string[], key: string): TokenRequest | null {
  const url = new URL(location.href);
  const back = url.searchParams;
  const [code, state, error] = [back.get("code"), back.get("state"), back.get("error")];
  if (!state || (!code && !error)) return null;
  const iss = back.get("iss");
  const challengeId = back.get("challenge_id");
  clear(url);

  const kept = tab.read<Kept>(key);
  if (kept?.state !== state) {
    // A sign-in that somebody else began would sign the person in as them.
    throw new SplitpinError("not_ours", 0, {}, "This sign-in was not started here. Please sign in again.");
  }
  tab.remove(key);
  if (error || !code) {
    throw new SplitpinError(error ?? "access_denied", 0, {}, "You did not finish signing in. Nothing has changed; you can try again.");
  }
  if (!iss || !issuers.includes(iss)) {
    throw new SplitpinError("wrong_issuer", 0, {}, "This answer comes from another server. Please sign in again.");
  }
  return {
    grant_type: "authorization_code",
    code,
    code_verifier: kept.verifier,
    redirect_url: kept.redirectUrl,
    ...(challengeId && { challenge_id: Number(challengeId) }),
  };
}
