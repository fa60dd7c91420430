// An attempt with a form of the app's own: to sign in, or to confirm who is
// signed in.

import { Attempts, startSolving, watch } from "./attempts.js";
import { call, type Server } from "./call.js";
import { SplitpinError } from "./errors.js";
import { challengeOf, random } from "./pkce.js";
import type { Session, SignedIn } from "./session.js";
import type { Attempt as Told, StartRequest, StartResponse } from "./shapes.js";
import { tab } from "./storage.js";
import type { World } from "./world.js";

export interface StartOptions extends Wish {
  /** The address or number, as the person typed it. */
  identifier: string;
  /** "email_code" where nothing is said; "email_link" for a message with a link besides. `Splitpin.project` tells which the project has. */
  method?: string;
  /** "sms" or "whatsapp", where the method has both. */
  channel?: string;
  /** Of the message, BCP 47. The page's own where nothing is said. */
  locale?: string;
  /** An allow-list of the project to hold the identifier against. */
  formId?: string;
  /**
   * The page that takes over where the link of the message is opened, by
   * `Splitpin.openedLink`: on an origin that the project lists. "/" where nothing is
   * said. A relative one is taken from here.
   */
  linkUrl?: string;
}

/** What an attempt needs to go on after a reload. */
interface Kept {
  id: string;
  secret: string;
  /** Empty where there is nothing to collect. */
  verifier: string;
}

/** Errors after which an attempt can be answered no more. */
const over = /^(attempt_over|attempt_unknown|too_many_tries|not_admitted|grant_invalid)$/;

/** Where attempts of one project live. */
export interface Place {
  server: Server;
  session: Session;
  world: World;
  /** Of what is kept in the tab. */
  key: string;
  /** Ends the passkey window that is open: a browser has one at a time. */
  asking?: AbortController | undefined;
}

/** One try at a proof, which its message and its code belong to. */
export class Attempt {
  /** After `answer`: a passkey is required of this person, who has none or cannot use it. Offer `addPasskey` at once. */
  makePasskey = false;

  private readonly attempts: Attempts;
  private at: number;
  /** Who is signed in by it. */
  private here: SignedIn | undefined;

  /** Made by `Splitpin.start`, `confirm` and `resume`. */
  constructor(
    /** What the server last told. For what counts down, see `expiresIn` and `resendIn`. */
    public told: Told,
    private readonly kept: Kept,
    private readonly place: Place,
  ) {
    this.attempts = new Attempts(place.server);
    this.at = place.world.now();
  }

  /** Seconds until the code is worth nothing; 0: it is. */
  get expiresIn(): number {
    return Math.max(0, this.told.expires_in - this.age());
  }

  /** Seconds until the message can be sent again; Infinity: not for this attempt. */
  get resendIn(): number {
    return this.told.resend_in < 0 ? Infinity : Math.max(0, this.told.resend_in - this.age());
  }

  /**
   * Answers with the code, and returns who is signed in then. Spaces and hyphens
   * do not matter. `wrong_code` says in `triesLeft` how many tries remain. Where the
   * code was right and only what follows failed, the same call again goes on from
   * there. `recovery_offered` asks for the passkey; who lost it chooses to begin a
   * recovery, which is the same call with `recover`.
   */
  async answer(code: string, { recover = false }: { recover?: boolean } = {}): Promise<SignedIn> {
    try {
      const granted = await this.attempts.answer(this.kept.id, this.kept.secret, { code, ...(recover && { recover }) });
      this.makePasskey = granted.make_passkey === true;
      const { session } = this.place;
      const now = await (this.kept.verifier ? session.collect(granted, this.kept.verifier) : session.current());
      if (!now) throw signedOut();
      this.forget();
      return (this.here = now);
    } catch (error) {
      if (error instanceof SplitpinError && over.test(error.code)) this.forget();
      if (error instanceof SplitpinError && error.triesLeft !== undefined) this.told = { ...this.told, tries_left: error.triesLeft };
      throw error;
    }
  }

  /**
   * Waits for the link of the message, where it has one, beside a form for the
   * code. Resolves when the link let this screen in, or when `answer` did. Throws
   * `attempt_elsewhere` where it signed in the browser that opened it, and
   * `link_refused` where somebody said there that they did not ask for it, or the
   * digits were wrong too often: then the code still works. What may pass is waited
   * out; the end of the attempt is `attempt_over`.
   */
  async wait(signal?: AbortSignal): Promise<SignedIn> {
    const { world, session } = this.place;
    const wanted = (): boolean => !signal?.aborted && !this.here;
    const found = await watch(world.sleep, wanted, async () => {
      await this.look();
      switch (this.told.link?.state) {
        case "let_in":
          this.here = await session.collect(await this.attempts.grant(this.kept.id, this.kept.secret), this.kept.verifier);
          this.forget();
          return this.here;
        case "here":
          this.forget();
          throw new SplitpinError("attempt_elsewhere", 0, {}, "You are signed in where you opened the link.");
        case "refused":
        case "dead":
          throw new SplitpinError("link_refused", 0, {}, "The link is off. Please enter the code of the same message.");
      }
      if (!this.here && this.told.state !== "open" && this.told.state !== "proved") {
        this.forget();
        throw new SplitpinError("attempt_over", 0, {}, "This sign-in has ended. Please start again.");
      }
      return this.here;
    });
    if (!found) signal?.throwIfAborted();
    return found ?? this.here!;
  }

  /** Sends the same code once more, over another channel where one is named. */
  async resend(channel?: string): Promise<void> {
    this.learn(await this.attempts.resend(this.kept.id, this.kept.secret, channel));
  }

  /** Asks the server how things stand. */
  async look(): Promise<void> {
    this.learn(await this.attempts.look(this.kept.id, this.kept.secret));
  }

  /** Lets it go: `Splitpin.resume` finds it no more. The server lets it expire. */
  forget(): void {
    if (tab.read<Kept>(this.place.key)?.id === this.kept.id) tab.remove(this.place.key);
  }

  private learn(told: Told): void {
    this.told = told;
    this.at = this.place.world.now();
  }

  /** Seconds since the server told. */
  private age(): number {
    return (this.place.world.now() - this.at) / 1000;
  }
}

/** What may be said about any start. */
export interface Wish {
  /** Called when a puzzle has to be solved first, which takes from a moment to some seconds. */
  onPuzzle?: (() => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Starts an attempt for this page, with an access token where its purpose needs one. */
export async function launch(place: Place, body: StartRequest, { signal, onPuzzle }: Wish, token?: string): Promise<StartResponse> {
  const ask = (body: StartRequest): Promise<StartResponse> =>
    call(place.server, "POST", "/attempts", body, token ? { Authorization: `Bearer ${token}` } : undefined);
  signal?.throwIfAborted();
  try {
    return await startSolving(ask, { origin: location.origin, ...body }, () => !signal?.aborted, onPuzzle);
  } finally {
    signal?.throwIfAborted();
  }
}

/** Starts an attempt with a form. With a token it confirms who is signed in, else it signs in. */
export async function begin(place: Place, options: StartOptions, token?: string): Promise<Attempt> {
  const verifier = token ? "" : random();
  const started = await launch(
    place,
    {
      method: options.method ?? "email_code",
      identifier: options.identifier,
      locale: options.locale ?? document.documentElement.lang,
      ...(token ? { purpose: "confirm" } : { code_challenge: await challengeOf(verifier) }),
      ...(options.channel && { channel: options.channel }),
      ...(options.formId && { form_id: options.formId }),
      ...(options.linkUrl && { redirect_url: new URL(options.linkUrl, location.href).href }),
    },
    options,
    token,
  );
  const kept: Kept = { id: started.attempt.id, secret: started.secret, verifier };
  tab.write(place.key, kept);
  return new Attempt(started.attempt, kept, place);
}

/** Finds the attempt that this tab began last. Null: it can be answered no more. */
export async function resume(place: Place): Promise<Attempt | null> {
  const kept = tab.read<Kept>(place.key);
  if (!kept) return null;
  try {
    const told = await new Attempts(place.server).look(kept.id, kept.secret);
    if (told.state === "open" || told.state === "proved") return new Attempt(told, kept, place);
  } catch (error) {
    if (!(error instanceof SplitpinError) || error.code !== "attempt_unknown") throw error;
  }
  tab.remove(place.key);
  return null;
}

export function signedOut(cause?: unknown): SplitpinError {
  return new SplitpinError("signed_out", 0, { cause }, "Please sign in.");
}
