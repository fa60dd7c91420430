// Passkeys on a page of our own: offered by the browser from the field of the
// address, by a button, and made after a sign-in with a code. What the server asks
// goes to the browser as it is, but for bytes, which are base64url on the way.

import type { Attempts, SignInGrant } from "../../sdk/src/attempts";
import { SplitpinError as Problem } from "../../sdk/src/errors";
import { type CredentialOptions, decoded, encoded } from "../../sdk/src/passkey";
import type { StartRequest } from "../../sdk/src/shapes";
import { $ } from "./page";
import { busy } from "./screens";
import { t } from "./text";

/** Whether this browser knows of any. */
export const hasPasskeys = typeof PublicKeyCredential === "function";

/** Calls of PublicKeyCredential that not every browser has. */
type Newer = {
  isConditionalMediationAvailable?: () => Promise<boolean>;
  signalUnknownCredential?: (o: { rpId: string; credentialId: string }) => Promise<void>;
};

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
  $("passkey-submit").addEventListener("click", () => void show(s, false));
  if (s.unasked && (await (PublicKeyCredential as unknown as Newer).isConditionalMediationAvailable?.().catch(() => false))) void show(s, true);
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
  let shown: PublicKeyCredential | undefined;
  let site = "";
  try {
    const started = await s.attempts.start({ ...s.body, method: "passkey" });
    const options = started.attempt.passkey as CredentialOptions;
    site = String(options.rpId);
    shown = (await navigator.credentials.get({
      publicKey: decoded(options) as unknown as PublicKeyCredentialRequestOptions,
      signal: mine.signal,
      ...(quietly ? { mediation: "conditional" as CredentialMediationRequirement } : {}),
    })) as PublicKeyCredential;
    if (!s.wanted()) return;
    busy(button, t("code.busy"));
    const g = await s.attempts.answer(started.attempt.id, started.secret, encoded(shown));
    busy(button, "");
    if (s.wanted()) s.granted(g);
  } catch (error) {
    if (mine !== listening) return;
    busy(button, "");
    if (!(error instanceof Problem)) {
      // The person closed the browser's window, or it has nothing to show.
      if (!quietly && s.unasked) void show(s, true);
      return;
    }
    if (error.code === "credential_unknown" && shown) {
      // The server looked in all its projects: nobody has it.
      void (PublicKeyCredential as unknown as Newer).signalUnknownCredential?.({ rpId: site, credentialId: shown.id }).catch(() => {});
    }
    if (!shown && quietly) return; // there are none to offer: nobody asked
    $(at.error).textContent = t(error.code === "credential_unknown" ? "passkey.unknown" : "passkey.failed");
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
    const options = started.attempt.passkey as CredentialOptions;
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
    const made = await navigator.credentials.create({ publicKey: decoded(options) as unknown as PublicKeyCredentialCreationOptions });
    await attempts.answer(started.attempt.id, started.secret, encoded(made as PublicKeyCredential));
    return true;
  } catch {
    $("offer-error").textContent = t("passkey.failed");
    return false;
  } finally {
    busy(button, "");
  }
}
