// The browser's side of passkeys (WebAuthn Level 3): options that come as JSON go
// to navigator.credentials, and what it gives goes back as JSON. Written out,
// because the browsers of 2022 cannot convert, and some password managers break
// the conversion of those that can.

import { SplitpinError } from "./errors.js";
import { base64url } from "./pkce.js";
import type { Accepted, Attempt } from "./shapes.js";

/** Options for navigator.credentials as the server writes them. */
export type CredentialOptions = NonNullable<Attempt["passkey"]>;

export interface PasskeyCall {
  signal?: AbortSignal | undefined;
  /**
   * For showPasskey: wait until the person chooses a passkey from what the browser
   * offers in a field with autocomplete="username webauthn".
   */
  autofill?: boolean;
  /**
   * For makePasskey: make one without asking, where the person's password manager
   * does so after a sign-in. Where it does not, that is passkey_cancelled.
   */
  quietly?: boolean;
}

/** What this browser can do with passkeys. */
export async function passkeySupport(): Promise<{ passkeys: boolean; autofill: boolean }> {
  const passkeys = typeof PublicKeyCredential === "function";
  try {
    return { passkeys, autofill: passkeys && (await PublicKeyCredential.isConditionalMediationAvailable?.()) === true };
  } catch {
    return { passkeys, autofill: false };
  }
}

/** Lets the person show a passkey. Returns the answer to the attempt that the options are of. */
export function showPasskey(options: CredentialOptions, call: PasskeyCall = {}): Promise<object> {
  const publicKey = decoded(options) as unknown as PublicKeyCredentialRequestOptions;
  return ask((credentials) => credentials.get({ publicKey, ...how(call, call.autofill) }), call.signal);
}

/** Lets the person make a passkey. Returns the answer to the attempt that the options are of. */
export function makePasskey(options: CredentialOptions, call: PasskeyCall = {}): Promise<object> {
  const publicKey = decoded(options) as unknown as PublicKeyCredentialCreationOptions;
  return ask((credentials) => credentials.create({ publicKey, ...how(call, call.quietly) }), call.signal);
}

/** What a browser takes for absent where it is undefined. */
function how({ signal }: PasskeyCall, quietly: boolean | undefined): object {
  return { signal, mediation: quietly ? "conditional" : undefined };
}

/**
 * Tells the browser that the server knows of no such passkey, so that it offers it
 * no more. Only for what the server said so of: credential_unknown.
 */
export async function forgetPasskey(options: CredentialOptions, answer: object): Promise<void> {
  return signal("signalUnknownCredential", { rpId: options.rpId, credentialId: (answer as { id: string }).id });
}

/**
 * Tells the browser which passkeys of the person who is signed in are good at a site, so
 * that it offers no others of that person. Only what the server said of the whole site: what
 * is left out is hidden, and comes back when it is told of again.
 */
export async function tellAccepted({ rp_id: rpId, user_id: userId, credential_ids: allAcceptedCredentialIds }: Accepted): Promise<void> {
  return signal("signalAllAcceptedCredentials", { rpId, userId, allAcceptedCredentialIds });
}

/** A browser that does not want to know is left alone; nothing depends on it. */
async function signal(name: string, what: object): Promise<void> {
  try {
    await (globalThis.PublicKeyCredential as unknown as Record<string, ((o: object) => Promise<void>) | undefined>)[name]?.call(PublicKeyCredential, what);
  } catch {
    // As above; or the page is not of that site.
  }
}

async function ask(run: (credentials: CredentialsContainer) => Promise<Credential | null>, signal?: AbortSignal): Promise<object> {
  if (typeof PublicKeyCredential !== "function") {
    throw new SplitpinError("passkey_unsupported");
  }
  let credential: PublicKeyCredential | null;
  try {
    credential = (await run(navigator.credentials)) as PublicKeyCredential | null;
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    const codes: Record<string, string> = { InvalidStateError: "passkey_registered", SecurityError: "passkey_site" };
    // A browser does not tell who closed its window, whose time was over, and who has no passkey.
    throw new SplitpinError(codes[(cause as Error | null)?.name ?? ""] ?? "passkey_cancelled", 0, { cause });
  }
  if (!credential) throw new SplitpinError("passkey_cancelled");
  return encoded(credential);
}

type Descriptor = { id: string };

/** The options with bytes in the place of base64url. */
function decoded(o: CredentialOptions): object {
  const one = <T extends Descriptor>(d: T): object => ({ ...d, id: bytes(d.id) });
  const list = (l: unknown): object[] | undefined => (l as Descriptor[] | undefined)?.map(one);
  return {
    ...o,
    challenge: bytes(o.challenge),
    user: o.user && one(o.user as Descriptor),
    allowCredentials: list(o.allowCredentials),
    excludeCredentials: list(o.excludeCredentials),
  };
}

/** What PublicKeyCredential.toJSON gives. */
function encoded(c: PublicKeyCredential): object {
  const r = c.response as AuthenticatorAttestationResponse & AuthenticatorAssertionResponse;
  const rest = r.attestationObject
    ? { attestationObject: text(r.attestationObject), transports: r.getTransports?.() ?? [] }
    : { authenticatorData: text(r.authenticatorData), signature: text(r.signature), userHandle: r.userHandle ? text(r.userHandle) : undefined };
  return {
    id: c.id,
    rawId: text(c.rawId),
    type: c.type,
    response: { clientDataJSON: text(r.clientDataJSON), ...rest },
    clientExtensionResults: c.getClientExtensionResults(),
    authenticatorAttachment: c.authenticatorAttachment ?? undefined,
  };
}

const bytes = (t: string): Uint8Array => Uint8Array.from(atob(t.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

const text = (buffer: ArrayBuffer): string => base64url(new Uint8Array(buffer));
