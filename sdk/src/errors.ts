// What can go wrong, under names that stay the same between versions.

/**
 * Codes of the server, as docs/errors.md explains them. An answer may carry one
 * that this version does not know yet.
 */
export type ServerCode =
  | "address_proof_needed"
  | "address_unproved"
  | "attempt_elsewhere"
  | "attempt_open"
  | "attempt_over"
  | "attempt_unknown"
  | "captcha_required"
  | "challenge_required"
  | "channel_not_offered"
  | "conflict"
  | "country_not_allowed"
  | "credential_taken"
  | "credential_unknown"
  | "digits_needed"
  | "forbidden"
  | "grant_invalid"
  | "internal"
  | "invalid_identifier"
  | "invalid_request"
  | "invalid_text"
  | "last_credential"
  | "link_not_here"
  | "link_over"
  | "link_refused"
  | "link_tries"
  | "link_unknown"
  | "method_not_allowed"
  | "method_off"
  | "method_unknown"
  | "misdirected"
  | "not_admitted"
  | "not_found"
  | "number_not_enough"
  | "origin_not_allowed"
  | "other_user"
  | "passkey_registered"
  | "passkey_required"
  | "passkey_site"
  | "phone_budget"
  | "phone_paused"
  | "phone_unreachable"
  | "proof_too_old"
  | "provider_denied"
  | "provider_down"
  | "provider_unknown"
  | "recovery_offered"
  | "recovery_waits"
  | "redirect_not_allowed"
  | "redirect_too_long"
  | "refresh_invalid"
  | "resend_too_soon"
  | "too_large"
  | "too_many_browsers"
  | "too_many_lookups"
  | "too_many_messages"
  | "too_many_passkeys"
  | "too_many_refreshes"
  | "too_many_starts"
  | "too_many_tries"
  | "unauthenticated"
  | "unavailable"
  | "uncertain"
  | "undo_unknown"
  | "unknown_project"
  | "unsupported_media_type"
  | "wrong_answer"
  | "wrong_code"
  | "wrong_digits"
  | "yes_needed";

/** Codes of this library, for what never reached the server or came from elsewhere. */
export type LocalCode =
  | "access_denied" // the sign-in page sent the person back without a result: too many codes were wrong
  | "expired" // likewise: the code's time was over
  | "insecure_page" // the page is neither on https nor on localhost
  | "invalid_options" // a mistake in the call; the message says which
  | "not_ours" // what came back from the sign-in page was not begun in this tab
  | "offline" // no answer came: no network, no server, no patience left, an origin that the project does not list
  | "origin_not_listed" // fetch would send the token to an origin that `apis` does not list
  | "passkey_cancelled" // no passkey was used: the person closed the window, its time was over, or there is none
  | "passkey_unsupported" // the browser has no passkeys
  | "signed_out" // nobody is signed in
  | "storage_off" // the browser keeps nothing for the page, so nobody could come back from the sign-in page
  | "wrong_issuer"; // what came back comes from another server

export type ErrorCode = ServerCode | LocalCode;

/** What an error knows besides its code and status. */
export interface Details {
  /** Seconds after which trying again makes sense. */
  retryAfter?: number | undefined;
  /** With `wrong_code`: how many tries the attempt has left. */
  triesLeft?: number | undefined;
  /** The field of the request that is wrong, where one is. */
  field?: string | undefined;
  /** What the server's log knows the request by. */
  requestId?: string | undefined;
  /** With `challenge_required`: the puzzle. */
  challenge?: string | undefined;
  /** What was thrown underneath. */
  cause?: unknown;
}

/**
 * What is said where nobody gave a sentence, by code, and as `internal` for every other.
 * The library fills it: see sentences.ts.
 */
export const said: Record<string, string> = {};

/**
 * Every error that this library throws, but for the reason of an AbortSignal, and
 * what the browser's fetch throws about a request of the app's. Decide by `code`;
 * `message` is an English sentence that may be shown to the person. That of
 * `insecure_page`, `invalid_options` and `origin_not_listed` is for who builds the page.
 */
export class SplitpinError extends Error implements Details {
  declare readonly retryAfter?: number | undefined;
  declare readonly triesLeft?: number | undefined;
  declare readonly field?: string | undefined;
  declare readonly requestId?: string | undefined;
  declare readonly challenge?: string | undefined;
  declare readonly cause?: unknown;

  constructor(
    readonly code: ErrorCode | (string & {}),
    /** The HTTP status; 0: no answer of the server is behind this. */
    readonly status = 0,
    details?: Details,
    message = said[code] ?? said.internal ?? code,
  ) {
    super(message);
    Object.assign(this, details);
  }
}

SplitpinError.prototype.name = "SplitpinError";

/**
 * Whether the same call may succeed later. Such an error says nothing about the
 * session or the attempt: keep both.
 */
export function isPassing(error: unknown): boolean {
  return error instanceof SplitpinError && (/^(offline|unavailable|conflict)$/.test(error.code) || error.status === 429 || error.status >= 500);
}
