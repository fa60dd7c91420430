// What the library says to people where neither the server nor the place that throws has
// a better sentence. The server's own pages have texts of their own, in more languages:
// they do not import this.

import type { ErrorCode } from "./errors.js";

export const sentences: { readonly [code in ErrorCode]?: string } & { readonly internal: string } = {
  internal: "That did not work. Please try again.",
  offline: "The sign-in server cannot be reached. Please check your connection, and try again.",
  passkey_cancelled: "No passkey was used. Please try again, or sign in another way.",
  passkey_registered: "This device has a passkey for this account already.",
  passkey_site: "Passkeys do not work on this page. Please sign in another way.",
  passkey_unsupported: "This browser has no passkeys. Please sign in another way.",
  unavailable: "The sign-in server cannot answer just now. Please try again in a moment.",
};
