// Passkeys on a page of our own: offered by the browser from the field of the
// address, by a button, and made after a sign-in with a code.

import type { Attempts, SignInGrant } from "../../sdk/src/attempts";
import { type CredentialOptions, forgetPasskey, makePasskey, passkeySupport, showPasskey } from "../../sdk/src/passkey";
import type { StartRequest } from "../../sdk/src/shapes";
import { explain, problem } from "./explain";
import { $ } from "./page";
import { busy } from "./screens";
import { t } from "./text";

/** Whether this browser knows of any. */
export const hasPasskeys = typeof PublicKeyCredential === "function";

interface SignIn {
  attempts: Attempts;
  body: Omit<StartRequest, "method">;
  /** Whether a sign-in may still end here. */
  wanted: () => boolean;
  granted: (g: SignInGrant) => void;
  /** Whether the browser may offer passkeys by itself; else only the button does. */
  unasked: boolean;
}

/** Where a passkey is used, and where it is said what went wrong. */
interface Place {
  button: string;
  error: string;
}

const beside: Place = { button: "passkey-submit", error: "passkey-error" };

let listening: AbortController | undefined;

/** Lets the browser that has passkeys offer them: from the field of the address, and by a button. */
export async function offerPasskeys(s: SignIn): Promise<void> {
  $("passkey-submit").onclick = () => void show(s, false);
  if (s.unasked && (await passkeySupport()).autofill) void show(s, true);
}

/** Asks for a passkey at once, by a button of another screen. */
export function usePasskey(s: SignIn, at: Place): void {
  void show(s, false, at);
}

/** A sign-in that goes another way wants no answer any more. */
export function stopOffering(): void {
  listening?.abort();
  listening = undefined;
}

async function show(s: SignIn, quietly: boolean, at = beside): Promise<void> {
  const button = $(at.button);
  if (!s.wanted() || button.classList.contains("busy")) return;
  stopOffering();
  const mine = (listening = new AbortController());
  $(at.error).textContent = "";
  if (!quietly) busy(button, t("passkey.waiting"));
  let options: CredentialOptions | undefined;
  let shown: object | undefined;
  try {
    const started = await s.attempts.start({ ...s.body, method: "passkey" });
    options = started.attempt.passkey!;
    // Whoever comes late to this page is offered passkeys all the same: anew at half of the attempt's life.
    if (quietly) setTimeout(() => mine === listening && void show(s, true), started.attempt.expires_in * 500);
    shown = await showPasskey(options, { signal: mine.signal, autofill: quietly });
    if (!s.wanted()) return;
    busy(button, t("code.busy"));
    const g = await s.attempts.answer(started.attempt.id, started.secret, shown);
    busy(button, "");
    if (s.wanted()) s.granted(g);
  } catch (error) {
    if (mine !== listening) return;
    busy(button, "");
    const p = problem(error);
    if (p.code === "passkey_cancelled") {
      // The person closed the browser's window, or it has nothing to show.
      if (!quietly && s.unasked) void show(s, true);
      return;
    }
    // The server looked in all its projects: nobody has it.
    if (p.code === "credential_unknown") void forgetPasskey(options!, shown!);
    if (!shown && quietly) return; // there are none to offer: nobody asked
    $(at.error).textContent = explain(p, { wrong_answer: "passkey.failed", credential_unknown: "passkey.unknown", passkey_site: "passkey.site" });
  }
}

// ---------------------------------------------------------------- after a code

const declined = "splitpin.passkey.declined";

/** How long a result of a sign-in can wait for an answer, in milliseconds: it lives five minutes. */
const patience = 4 * 60_000;

/**
 * Asks once, after a sign-in with a code, whether to make a passkey; each time where one is
 * required. It ends when the person answered; never with an error, since the sign-in
 * itself is done.
 */
export async function offerToMake(attempts: Attempts, proof: { id: string; secret: string }, required: boolean, show: () => void): Promise<void> {
  try {
    if (!hasPasskeys || (!required && localStorage.getItem(declined))) return;
    if (!(await PublicKeyCredential.isUserVerifyingPlatformAuthenticatorAvailable())) return;
    const started = await attempts.start({ method: "passkey", purpose: "enrol", proof });
    const options = started.attempt.passkey!;
    // Whoever has one already knows about them.
    if (!required && (options.excludeCredentials as unknown[] | undefined)?.length) return;
    if (required) {
      $("offer-title").textContent = t("passkey.must.title");
      $("offer-text").textContent = t("passkey.must.text");
    }
    show();
    $("offer-title").focus();
    await new Promise<void>((done) => {
      setTimeout(done, patience);
      $("offer-skip").onclick = () => {
        if (!required) localStorage.setItem(declined, "1");
        done();
      };
      $("offer-submit").onclick = () => void make(attempts, started, options).then((made) => made && done());
    });
  } catch {
    // No storage, no answer: nothing is offered.
  }
}

async function make(attempts: Attempts, started: { attempt: { id: string }; secret: string }, options: CredentialOptions): Promise<boolean> {
  const button = $("offer-submit");
  if (button.classList.contains("busy")) return false;
  busy(button, t("passkey.waiting"));
  $("offer-error").textContent = "";
  try {
    await attempts.answer(started.attempt.id, started.secret, await makePasskey(options));
    return true;
  } catch {
    $("offer-error").textContent = t("passkey.failed");
    return false;
  } finally {
    busy(button, "");
  }
}
