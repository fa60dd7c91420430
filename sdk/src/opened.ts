// A link of a message that was opened, perhaps in another browser than the one that asked.
// The server's page has asked for the two digits and led to a page of the app's.

import type { Place } from "./attempt.js";
import type { SignInGrant } from "./attempts.js";
import { call } from "./call.js";
import { challengeOf, random } from "./pkce.js";
import type { SignedIn } from "./session.js";
import type { Admitted, AdmitRequest, Link } from "./shapes.js";
import { again } from "./world.js";

/** The parameters that the server adds to the page's address. */
const ours = ["auth_method", "challenge_id", "challenge", "id_type", "id"];

/** Somebody who opened a link and is here to sign in, for two minutes. Nothing happens before `signIn`. */
export class OpenedLink {
  /** After `signIn`: a passkey is required of this person, who has none or cannot use it. Offer `addPasskey` at once. */
  makePasskey = false;

  private readonly verifier = random();
  private granted: SignInGrant | undefined;

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
    if (!this.granted) {
      const code_challenge = await challengeOf(this.verifier);
      const ask: AdmitRequest = { link: this.token, way: "here", code_challenge, origin: location.origin };
      const { granted } = await call<Admitted>(this.place.server, "POST", "/link/admit", ask);
      this.makePasskey = granted?.make_passkey === true;
      this.granted = granted as SignInGrant; // here always gives a code
    }
    return this.place.session.collect(this.granted, this.verifier);
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
  for (const name of ours) url.searchParams.delete(name);
  history.replaceState(history.state, "", url);
  const told = await again(place.world, 3, () => call<Link>(place.server, "POST", "/link/open", { link: token })); // the address has it no more
  return new OpenedLink(told, token, place);
}
