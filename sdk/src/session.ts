// The session of this browser: its tokens, and how they stay fresh in any number
// of tabs.
//
// What storage holds is the truth, and is read on every call: another tab may have
// changed it. Refresh tokens rotate. Shown again within a minute, the one before
// gives the same successor; shown later it ends the session, since it looks
// stolen. So three rules:
//
//   - one refresh at a time, over all tabs where the browser has locks;
//   - whoever waited looks into storage again before asking, and saves only what
//     replaces what it asked with;
//   - a session ends by refresh_invalid alone, or by logging out.

import type { SignInGrant } from "./attempts.js";
import { call, type Server } from "./call.js";
import { isPassing, SplitpinError } from "./errors.js";
import { random } from "./pkce.js";
import type { TokenRequest, Tokens, User } from "./shapes.js";
import type { TokenStorage } from "./storage.js";
import { again, askedPause, type World } from "./world.js";

/** Somebody who is signed in. */
export interface SignedIn {
  user: User;
  access_token: string;
  id_token: string;
  refresh_token: string;
  auth_method: string;
}

/** What storage holds, as JSON. */
interface Kept extends SignedIn {
  /** Ours, random; the same until somebody signs in again. */
  id: string;
  /** Of the access token, in seconds. */
  lifetime: number;
  /** When it was asked for, by this machine's clock, in milliseconds. */
  at: number;
}

/** How often a refresh is tried before the caller hears of it. */
const tries = 3;

/** Tokens are renewed this long before their end, in milliseconds, or at three quarters of a short life. */
const margin = 60_000;

/** The longest time for which a server that does not answer is left alone, in milliseconds. */
const longestRest = 60_000;

/** The same where it asks for it; what asks for more may be something in between that is mistaken. */
const longestAsked = 600_000;

/** Trades a code or a refresh token. What is no answer of ours is `unavailable`. */
export async function trade(server: Server, request: TokenRequest): Promise<Tokens> {
  const tokens = await call<Partial<Tokens> | null | undefined>(server, "POST", "/token", request);
  if (tokens?.access_token && tokens.refresh_token && tokens.expires_in! > 0 && (tokens.user || request.refresh_token)) return tokens as Tokens;
  throw new SplitpinError("unavailable", 200); // something else answers in the server's place
}

export class Session {
  private flight: Promise<Kept | null> | undefined;
  /** When the access token was asked for, by the clock that nobody sets. */
  private anchor: { token: string; at: number } | undefined;
  /** After failures: until when not to ask again, and what to say meanwhile. */
  private rest: { until: number; error: unknown } | undefined;
  private failures = 0;
  /** The access token that came because the one before was refused. */
  private renewed: string | undefined;
  /** The session that listeners were last told of; undefined: nobody looked yet. */
  private told: string | null | undefined;
  private readonly listeners = new Set<(now: SignedIn | null) => void>();

  constructor(
    private readonly server: Server,
    private readonly storage: TokenStorage,
    private readonly world: World,
    private readonly lockName: string,
  ) {}

  async current(): Promise<SignedIn | null> {
    const kept = await this.load();
    if (this.told === undefined) this.told = kept?.id ?? null;
    return kept && shown(kept);
  }

  /** Starts the session that an authorization code opens, in place of any other. */
  async open(request: TokenRequest): Promise<SignedIn> {
    let asked = this.moment();
    const tokens = await again(this.world, tries, () => {
      asked = this.moment();
      return trade(this.server, request);
    });
    const kept: Kept = { ...fields(tokens), user: tokens.user!, id: random(), lifetime: tokens.expires_in, at: asked.wall };
    await this.save(kept, asked.now);
    await this.changed();
    return shown(kept);
  }

  /** Collects what a right answer granted. */
  collect(granted: SignInGrant, verifier: string): Promise<SignedIn> {
    const { authorization_code: code, challenge_id, redirect_url } = granted;
    return this.open({ grant_type: "authorization_code", code, challenge_id, code_verifier: verifier, ...(redirect_url && { redirect_url }) });
  }

  /**
   * An access token that is good for a while, or null where nobody is signed in.
   * With refused, one that a server took for invalid, it is another, if there is
   * any: one refresh for that, and not one after the other.
   */
  async token(refused?: string): Promise<string | null> {
    const kept = await this.load();
    if (!kept) return null;
    if (refused !== undefined && refused === this.renewed) return refused;
    const usable = kept.access_token !== refused;
    if (usable && this.fresh(kept)) return kept.access_token;
    const spare = usable && this.left(kept) > 0;
    try {
      const next = await this.refresh(kept.access_token, spare ? 1 : tries);
      if (!usable) this.renewed = next?.access_token;
      return next && next.access_token;
    } catch (error) {
      if (spare && isPassing(error)) return kept.access_token;
      throw error;
    }
  }

  /** Forgets the session here at once, and then ends it on the server. */
  async close(): Promise<void> {
    const kept = await this.load();
    await this.storage.remove();
    await this.changed();
    // Whoever logs out may leave the page in the same moment.
    const leaving: Server = { ...this.server, fetch: (input, init) => (this.server.fetch ?? fetch)(input, { ...init, keepalive: true }) };
    if (kept) await again(this.world, tries, () => call(leaving, "POST", "/logout", { refresh_token: kept.refresh_token }));
  }

  /** Calls back when somebody signed in or out, in any tab. Returns how to stop that. */
  listen(listener: (now: SignedIn | null) => void): () => void {
    this.listeners.add(listener);
    void this.current(); // remembers what there is to change from
    return () => this.listeners.delete(listener);
  }

  /** Looks whether it is still the same session, and tells the listeners where it is not. */
  async changed(): Promise<void> {
    const kept = await this.load();
    const id = kept?.id ?? null;
    if (id === this.told) return;
    this.told = id;
    for (const listener of [...this.listeners]) listener(kept && shown(kept));
  }

  /** The network is back: ask again at once. */
  online(): void {
    this.rest = undefined;
  }

  private refresh(stale: string, tries: number): Promise<Kept | null> {
    return (this.flight ??= this.patiently(stale, tries).finally(() => (this.flight = undefined)));
  }

  private async patiently(stale: string, tries: number): Promise<Kept | null> {
    if (this.rest && this.world.now() < this.rest.until) throw this.rest.error;
    try {
      const kept = await again(this.world, tries, () => this.world.alone(this.lockName, () => this.rotate(stale)));
      this.failures = 0;
      this.rest = undefined;
      return kept;
    } catch (error) {
      const pause = Math.min(longestRest, 1000 * 2 ** ++this.failures) * (0.5 + this.world.random() / 2);
      this.rest = { until: this.world.now() + Math.max(Math.min(askedPause(error), longestAsked), pause), error };
      throw error;
    }
  }

  /** One refresh, unless another tab did it meanwhile. Null: the session is over. */
  private async rotate(stale: string): Promise<Kept | null> {
    for (let round = 0; ; round++) {
      const kept = await this.load();
      if (!kept || (kept.access_token !== stale && this.fresh(kept))) return kept;
      const asked = this.moment();
      try {
        const tokens = await trade(this.server, { grant_type: "refresh_token", refresh_token: kept.refresh_token });
        const now = await this.load();
        // Another tab was quicker, or somebody logged out or in: theirs counts.
        if (now?.refresh_token !== kept.refresh_token) return now;
        const next: Kept = { ...kept, ...fields(tokens), lifetime: tokens.expires_in, at: asked.wall };
        await this.save(next, asked.now);
        return next;
      } catch (error) {
        if (!(error instanceof SplitpinError) || error.code !== "refresh_invalid") throw error;
        const now = await this.load();
        if (now && now.refresh_token !== kept.refresh_token && round < 2) continue; // that one was out of date
        if (now?.refresh_token === kept.refresh_token) await this.storage.remove();
        await this.changed();
        return null;
      }
    }
  }

  private async load(): Promise<Kept | null> {
    const text = await this.storage.get();
    try {
      const kept = JSON.parse(text ?? "null") as Kept | null;
      return kept?.id && kept.access_token && kept.refresh_token ? kept : null;
    } catch {
      return null; // not ours
    }
  }

  private async save(kept: Kept, asked: number): Promise<void> {
    this.anchor = { token: kept.access_token, at: asked };
    await this.storage.set(JSON.stringify(kept));
  }

  private moment(): { now: number; wall: number } {
    return { now: this.world.now(), wall: this.world.wall() };
  }

  private fresh(kept: Kept): boolean {
    return this.left(kept) > Math.min(margin, kept.lifetime * 250);
  }

  /**
   * How long the access token is good for, in milliseconds, told without the
   * time of day: by how far either clock has moved since the token was asked for.
   * The one that nobody sets may stand still while the machine sleeps; the other
   * may be set back, but then the first goes on. A clock set forward costs one
   * refresh.
   */
  private left(kept: Kept): number {
    const { now, wall } = this.moment();
    const byWall = wall - kept.at;
    if (this.anchor?.token !== kept.access_token) {
      if (byWall < 0) return 0; // the clock was set back before this page could notice
      this.anchor = { token: kept.access_token, at: now - byWall };
    }
    return kept.lifetime * 1000 - Math.max(byWall, now - this.anchor.at);
  }
}

function fields({ access_token, id_token, refresh_token, auth_method }: Tokens): Omit<SignedIn, "user"> {
  return { access_token, id_token, refresh_token, auth_method };
}

function shown({ user, access_token, id_token, refresh_token, auth_method }: Kept): SignedIn {
  return { user, access_token, id_token, refresh_token, auth_method };
}
