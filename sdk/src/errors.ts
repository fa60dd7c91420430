// What can go wrong, under names that stay the same between versions.

/**
 * Codes of the server, as docs/errors.md explains them. An answer may carry one
 * that this version does not know yet.
 */
export type ServerCode =
  | "address_unproved"
  | "attempt_over"
  | "attempt_unknown"
  | "challenge_required"
  | "conflict"
  | "forbidden"
  | "grant_invalid"
  | "internal"
  | "invalid_identifier"
  | "invalid_request"
  | "invalid_text"
  | "method_not_allowed"
  | "method_unknown"
  | "misdirected"
  | "not_admitted"
  | "not_found"
  | "origin_not_allowed"
  | "redirect_not_allowed"
  | "refresh_invalid"
  | "resend_too_soon"
  | "too_large"
  | "too_many_messages"
  | "too_many_refreshes"
  | "too_many_starts"
  | "too_many_tries"
  | "unauthenticated"
  | "unavailable"
  | "uncertain"
  | "unknown_project"
  | "unsupported_media_type"
  | "wrong_code";

/** Codes of this library, for what never reached the server or came from elsewhere. */
export type LocalCode =
  | "offline"; // no answer came: no network, no server, no patience left, an origin that the project does not list

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
 * Every error that this library throws, but for the reason of an AbortSignal,
 * which is thrown as it is. Decide by `code`; `message` may be shown to the
 * person where `status` is not 0.
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
    message: string = code,
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
  return error instanceof SplitpinError && (error.code === "offline" || error.code === "conflict" || error.status === 429 || error.status >= 500);
}
