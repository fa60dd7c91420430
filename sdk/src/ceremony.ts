// Signing in with a passkey, and making one: an attempt around the browser's
// window.

import { Attempts } from "./attempts.js";
import { launch, type Place, type Wish } from "./attempt.js";
import { SplitpinError } from "./errors.js";
import { forgetPasskey, makePasskey, showPasskey } from "./passkey.js";
import { challengeOf, random } from "./pkce.js";
import type { SignedIn } from "./session.js";
import type { StartRequest, StartResponse } from "./shapes.js";

export interface PasskeySignIn extends Wish {
  /** Whose passkey it has to be. Where nothing is said, the passkey tells who it is. */
  identifier?: string;
  /**
   * Wait until the person chooses a passkey from what the browser offers in a
   * field with autocomplete="username webauthn". Nothing is shown before that.
   */
  autofill?: boolean;
}

export interface PasskeyOptions extends Wish {
  /** Without asking the person, where their password manager does so after a sign-in. */
  quietly?: boolean;
}

/** A page that waits for autofill asks anew this long before its attempt expires, in milliseconds. */
const margin = 30_000;

export async function signInWithPasskey(place: Place, options: PasskeySignIn): Promise<SignedIn> {
  return alone(place, options, async (stop, wish) => {
    for (;;) {
      const verifier = random();
      const started = await launch(place, start(options.identifier, { code_challenge: await challengeOf(verifier) }), wish);
      const passkey = passkeyOf(started);
      const late = options.autofill ? new AbortController() : undefined;
      const timer = late && setTimeout(() => late.abort(), started.attempt.expires_in * 1000 - margin);
      const end = (): void => late?.abort();
      stop.addEventListener("abort", end);
      let answer: object;
      try {
        answer = await showPasskey(passkey, { signal: late?.signal ?? stop, autofill: options.autofill === true });
      } catch (error) {
        stop.throwIfAborted();
        if (late?.signal.aborted) continue;
        throw error;
      } finally {
        clearTimeout(timer);
        stop.removeEventListener("abort", end);
      }
      try {
        const granted = await new Attempts(place.server).answer(started.attempt.id, started.secret, answer);
        return await place.session.collect(granted, verifier);
      } catch (error) {
        if (error instanceof SplitpinError && error.code === "credential_unknown") await forgetPasskey(passkey, answer);
        throw error;
      }
    }
  });
}

export async function addPasskey(place: Place, options: PasskeyOptions, token: string): Promise<string> {
  return alone(place, options, async (stop, wish) => {
    const started = await launch(place, start(undefined, { purpose: "enrol" }), wish, token);
    const answer = await makePasskey(passkeyOf(started), { signal: stop, quietly: options.quietly === true });
    const granted = await new Attempts(place.server).answer(started.attempt.id, started.secret, answer);
    return granted.credential_id ?? "";
  });
}

export async function confirmWithPasskey(place: Place, options: Wish, token: string): Promise<void> {
  return alone(place, options, async (stop, wish) => {
    const started = await launch(place, start(undefined, { purpose: "confirm" }), wish, token);
    const answer = await showPasskey(passkeyOf(started), { signal: stop });
    await new Attempts(place.server).answer(started.attempt.id, started.secret, answer);
  });
}

function start(identifier: string | undefined, more: Partial<StartRequest>): StartRequest {
  return { method: "passkey", ...(identifier && { identifier }), ...more };
}

function passkeyOf(started: StartResponse): NonNullable<StartResponse["attempt"]["passkey"]> {
  if (!started.attempt.passkey) throw new SplitpinError("method_unknown", 0, {}, "This server has no passkeys.");
  return started.attempt.passkey;
}

/** Does work as the one that has the browser's window, which ends for whoever had it. */
async function alone<T>(place: Place, { signal, onPuzzle }: Wish, work: (stop: AbortSignal, wish: Wish) => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  place.asking?.abort(new SplitpinError("passkey_cancelled", 0, {}, "Another way to sign in was chosen."));
  const mine = (place.asking = new AbortController());
  const end = (): void => mine.abort(signal!.reason);
  signal?.addEventListener("abort", end);
  try {
    return await work(mine.signal, { signal: mine.signal, onPuzzle });
  } finally {
    signal?.removeEventListener("abort", end);
    if (place.asking === mine) place.asking = undefined;
  }
}
