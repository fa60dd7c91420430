// A link that was opened on the customer's page (contract 12.5): the SDK finds
// its parameters there and hands them to this form, which is a new one with a
// challenge of its own.

import type { SignInGrant } from "../../sdk/src/attempts";
import { bear, type Bearing } from "./bearer";
import { config } from "./page";
import { record } from "./sdkconfig";

/** What the SDK found in the address of the customer's page. Nothing of it is proved. */
export interface OpenedLink {
  challengeId: string;
  secret: string;
  clientData: Record<string, unknown>; // of the address bar: not to be believed, only compared
}

/** Reads the payload of HANDLE_MAGIC_LINK_REDIRECT, or returns undefined for what is no link of ours. */
export function readLink(payload: Record<string, unknown>): OpenedLink | undefined {
  const { challenge, challenge_id: id } = payload;
  const challengeId = typeof id === "number" ? String(id) : id;
  if (typeof challenge !== "string" || !/^[A-Za-z0-9_.~:-]{16,256}$/.test(challenge)) return undefined;
  if (typeof challengeId !== "string" || !/^\d{1,10}$/.test(challengeId)) return undefined;
  return { challengeId, secret: challenge, clientData: record(payload.client_json) };
}

/** Shows what the link is for. After a tap the sign-in ends here, with this form's own challenge. */
export function bearHere(link: OpenedLink, form: Pick<Bearing, "again" | "held">, done: (granted: SignInGrant & { client_data?: object }) => void): void {
  void bear({
    base: config.base,
    token: link.secret,
    way: () => "here",
    own: {
      code_challenge: config.challenge,
      origin: config.domain,
      ...(config.redirectUrl && { redirect_url: config.redirectUrl }),
      ...(config.state && { state: config.state }),
    },
    done: ({ granted }) => granted && done(granted as SignInGrant), // here always gives a code
    ...form,
  });
}
