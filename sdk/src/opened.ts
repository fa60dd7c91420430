// A link of a message that was opened, perhaps in another browser than the one that asked.
// The server's page has asked for the two digits and led to a page of the app's.

import type { Place } from "./attempt.js";
import type { SignInGrant } from "./attempts.js";
import { call } from "./call.js";
import { challengeOf, random } from "./pkce.js";
import { clear } from "./redirect.js";
import type { SignedIn } from "./session.js";
import type { AdmitRequest, Link } from "./shapes.js";
import { again } from "./world.js";

/** Somebody who opened a link and is here to sign in, for two minutes. Nothing happens before `signIn`. */
export class OpenedLink {
  /** After `signIn`: a passkey is required of this person, who has none or cannot use it. Offer `addPasskey` at once. */
  makePasskey = false;

  private readonly verifier = random();

  /** Made by `Splitpin.openedLink`. */
  constructor(
    /** What the server told. Show the account, which is masked, beside the button: the link may be somebody else's. */
    readonly told: Link,
    private readonly token: string,
    private readonly place: Place,
  ) {}

  /**
   * Signs in here. Call it when the person pressed a button that names the account:
   * without that, somebody could send a person into an account of their own. The
   * screen that asked is told. Where only the last step failed, the same call again
   * goes on from there.
   */
  async signIn(): Promise<SignedIn> {
    const { server, session } = this.place;
    const code_challenge = await challengeOf(this.verifier); // the same again gets the same code again
    const ask: AdmitRequest = { link: this.token, way: "here", code_challenge, origin: location.origin };
    const { granted } = await call<{ granted: SignInGrant }>(server, "POST", "/link/admit", ask); // here always gives a code
    this.makePasskey = granted.make_passkey === true;
    return session.collect(granted, this.verifier);
  }
}

/**
 * Reads what the server's page handed over, and asks what it is for. Null: this page
 * is not where a link led. It leaves the address bar first of all.
 */
export async function takeLink(place: Place): Promise<OpenedLink | null> {
  const url = new URL(location.href);
  const token = url.searchParams.get("challenge");
  // Only what was handed over has the tilde. A link that came straight from the message
  // still needs the digits: it is for a form that asks for them.
  if (url.searchParams.get("auth_method") !== "MAGIC_LINK" || !token?.includes("~")) return null;
  clear(url, ["challenge", "id_type", "id"]);
  const told = await again(place.world, 3, () => call<Link>(place.server, "POST", "/link/open", { link: token })); // the address has it no more
  return new OpenedLink(told, token, place);
}
