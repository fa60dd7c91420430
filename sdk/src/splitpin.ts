// The library as an app sees it.

import { type Attempt, begin, type Place, resume, signedOut, type StartOptions, type Wish } from "./attempt.js";
import { call, type Server } from "./call.js";
import { addPasskey, confirmWithPasskey, type PasskeyOptions, type PasskeySignIn, signInWithPasskey } from "./ceremony.js";
import { said, SplitpinError } from "./errors.js";
import { type OpenedLink, takeLink } from "./opened.js";
import { passkeySupport, tellAccepted } from "./passkey.js";
import { comeBack, type SignInOptions, signInUrl } from "./redirect.js";
import { sentences } from "./sentences.js";
import { Session, type SignedIn } from "./session.js";
import type { Credential, Credentials, Project, Session as Listed, User } from "./shapes.js";
import { localTokens, memoryStorage, type TokenStorage } from "./storage.js";
import { browser } from "./world.js";

// Here, as nothing is thrown before a Splitpin is made: a bundler leaves out a file of the
// package that is imported for what it does alone.
Object.assign(said, sentences);

export interface Options {
  /** Where Splitpin is, such as "https://id.example.com". */
  server: string;
  /** The API key id. */
  project: string;
  /**
   * Where tokens are kept. "memory", the default: in this page, until it is left or
   * reloaded. "local": in localStorage, for all tabs of the origin, until they log
   * out. Or a place of your own.
   */
  storage?: "memory" | "local" | TokenStorage;
  /** Origins besides the page's own that `fetch` may send the access token to. */
  apis?: string[];
  /** The project's issuer, where it was given one of its own. */
  issuer?: string;
}

/**
 * One project of one server, in one page. Make one and keep it: making it asks
 * nobody anything. It may be made where there is no browser, as when a page is
 * rendered on a server.
 */
export class Splitpin {
  private readonly origin: string;
  private readonly id: string;
  private readonly issuers: string[];
  private readonly apis: string[];
  private readonly server: Server;
  private readonly signedIn: Session;
  private readonly attempts: Place;
  private readonly redirectKey: string;
  private back: Promise<SignedIn | null> | undefined;
  private opened: Promise<OpenedLink | null> | undefined;
  private readonly stop = new AbortController();

  constructor({ server, project, storage = "memory", apis = [], issuer }: Options) {
    this.origin = url("server", server).href.replace(/\/+$/, "");
    if (!project) throw invalid("project is empty: it is the API key id, which `splitpin project show` prints");
    this.id = project;
    const base = `${this.origin}/p/${encodeURIComponent(project)}`;
    // The default project's issuer is the server; any other's has its key id behind it.
    this.issuers = issuer ? [issuer] : [this.origin, base];
    this.apis = apis.map((api) => url("apis", api).origin);
    this.server = { base: `${base}/v1` };

    const key = `splitpin:${base}`;
    this.redirectKey = `${key}:redirect`;
    const kept = storage === "local" ? localTokens(key) : storage === "memory" ? memoryStorage() : storage;
    this.signedIn = new Session(this.server, kept, browser, key);
    this.attempts = { server: this.server, session: this.signedIn, world: browser, key: `${key}:attempt` };

    if (typeof document === "undefined") return;
    const { signal } = this.stop;
    addEventListener("online", () => this.signedIn.online(), { signal });
    // A tab that was asleep heard of nothing.
    document.addEventListener("visibilitychange", () => void this.signedIn.changed(), { signal });
    const unsubscribe = kept.subscribe?.(() => void this.signedIn.changed());
    if (unsubscribe) signal.addEventListener("abort", unsubscribe);
  }

  // ------------------------------------------------------------ signing in

  /** Leaves for the server's own page, or for a provider. `handleRedirect` takes what comes back. */
  async signIn(options: SignInOptions = {}): Promise<void> {
    const url = await signInUrl(this.origin, this.id, this.redirectKey, options);
    if (options.replace) location.replace(url);
    else location.assign(url);
  }

  /**
   * Takes what the sign-in page sent back, and signs in. Null: this page is not
   * the way back. Call it when the page begins; a second call returns what the
   * first one does.
   */
  handleRedirect(): Promise<SignedIn | null> {
    return (this.back ??= this.finish());
  }

  private async finish(): Promise<SignedIn | null> {
    const request = comeBack(this.issuers, this.redirectKey);
    return request && this.signedIn.open(request);
  }

  /** Starts a sign-in with a form of the app's own, and sends the message. */
  start(options: StartOptions): Promise<Attempt> {
    return begin(this.attempts, options);
  }

  /**
   * Finds the attempt that this tab started last, where it still can be answered:
   * phones throw pages away while people read their mail. Null: there is none.
   */
  resume(): Promise<Attempt | null> {
    return resume(this.attempts);
  }

  /**
   * Takes what the server's page handed over where somebody opened the link of a
   * message, perhaps in another browser than the one that asked. Null: this page is
   * not where a link led. Show whose account it is, with a button that calls `signIn`
   * of what is returned. Call it when the page begins; a second call returns what the
   * first one does.
   */
  openedLink(): Promise<OpenedLink | null> {
    return (this.opened ??= takeLink(this.attempts));
  }

  /**
   * Lets the person sign in with a passkey. A browser shows one such window at a
   * time: a later call ends an earlier one, with passkey_cancelled.
   */
  signInWithPasskey(options: PasskeySignIn = {}): Promise<SignedIn> {
    return signInWithPasskey(this.attempts, options);
  }

  /** What this browser can do with passkeys. */
  passkeySupport(): Promise<{ passkeys: boolean; autofill: boolean }> {
    return passkeySupport();
  }

  // ------------------------------------------------------------ signed in

  /** Who is signed in, as storage knows it; asks nobody. Null: nobody. */
  current(): Promise<SignedIn | null> {
    return this.signedIn.current();
  }

  /**
   * An access token that is good for a while yet, refreshed where it has to be.
   * Null: nobody is signed in, or the session has ended. Any error leaves the
   * session as it is: try again later.
   */
  accessToken(): Promise<string | null> {
    return this.signedIn.token();
  }

  /**
   * The browser's fetch, with the access token, to the page's own origin and those
   * in `apis`. Where the API answers 401 with `WWW-Authenticate: Bearer
   * error="invalid_token"` (RFC 6750), the token is refreshed and the request sent
   * once more. Any other 401 is the app's to read. Throws `signed_out` where nobody
   * is signed in.
   */
  async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const request = new Request(input, init);
    const { origin } = new URL(request.url);
    if (origin !== globalThis.location?.origin && !this.apis.includes(origin)) {
      throw new SplitpinError("origin_not_listed", 0, {}, `${origin} would get the access token: list it in apis if it may have it`);
    }
    const token = await this.mustToken();
    const response = await fetch(bearing(request.clone(), token));
    if (response.status !== 401 || !/\binvalid_token\b/.test(response.headers.get("WWW-Authenticate") ?? "")) return response;
    const next = await this.signedIn.token(token);
    if (!next || next === token) return response;
    return fetch(bearing(request, next));
  }

  /**
   * Starts a proof that it is still the person who signed in, for what asks for a
   * fresh one: `proof_too_old`. The session stays the same one.
   */
  async confirm(options: StartOptions): Promise<Attempt> {
    return this.withToken((token) => begin(this.attempts, options, token));
  }

  /** The same by a passkey, at once: afterwards the proof is fresh. */
  confirmWithPasskey(options: Wish = {}): Promise<void> {
    return this.withToken((token) => confirmWithPasskey(this.attempts, options, token));
  }

  /** Asks the server who is signed in. */
  user(): Promise<User> {
    return this.asUser("GET", "/user");
  }

  /** The live sessions of the user, newest first. */
  async sessions(): Promise<Listed[]> {
    return (await this.asUser<{ sessions: Listed[] }>("GET", "/sessions")).sessions;
  }

  /** Ends one session, by its id in the list. */
  async endSession(id: string): Promise<void> {
    await this.asUser("DELETE", `/sessions/${encodeURIComponent(id)}`);
  }

  /** Ends all sessions but this one. Returns how many there were. */
  async endOtherSessions(): Promise<number> {
    return (await this.asUser<{ ended: number }>("DELETE", "/sessions?keep=current")).ended;
  }

  /**
   * What the user can sign in with besides the address, newest first. Whoever asks, changes
   * or removes also tells the browser which passkeys of this site are still good.
   */
  credentials(): Promise<Credential[]> {
    return this.about("GET");
  }

  /**
   * Lets the person make a passkey for this site, and returns its id. Throws
   * `proof_too_old` where the person has to `confirm` first.
   */
  addPasskey(options: PasskeyOptions = {}): Promise<string> {
    return this.withToken((token) => addPasskey(this.attempts, options, token));
  }

  /** Gives a credential another name, and returns all of them. */
  renameCredential(id: string, label: string): Promise<Credential[]> {
    return this.about("PATCH", id, { label });
  }

  /**
   * Removes a credential, and returns those that are left. Throws `proof_too_old`
   * where the person has to `confirm` first, and `last_credential` where nobody
   * could sign in without it.
   */
  removeCredential(id: string): Promise<Credential[]> {
    return this.about("DELETE", id);
  }

  private async about(method: string, id?: string, body?: object): Promise<Credential[]> {
    const { credentials, accepted } = await this.asUser<Credentials>(method, `/credentials${id ? `/${encodeURIComponent(id)}` : ""}`, body);
    if (accepted) void tellAccepted(accepted);
    return credentials;
  }

  /**
   * Ends the session, here and in all tabs at once, and then on the server. An
   * error means that the server could not be told: the session goes on there
   * until it is idle for too long, and this browser can use it no more.
   */
  logOut(): Promise<void> {
    return this.signedIn.close();
  }

  /** Calls back when somebody signed in or out, in this tab or another. Returns how to stop that. */
  onChange(listener: (now: SignedIn | null) => void): () => void {
    return this.signedIn.listen(listener);
  }

  /** Name, look and methods of the project. */
  project(): Promise<Project> {
    return call(this.server, "GET", "/project");
  }

  /** Stops listening to the page and to other tabs, as when a test ends. */
  dispose(): void {
    this.stop.abort();
  }

  private async mustToken(): Promise<string> {
    const token = await this.signedIn.token();
    if (!token) throw signedOut();
    return token;
  }

  private asUser<T>(method: string, path: string, body?: object): Promise<T> {
    return this.withToken((token) => call(this.server, method, path, body, { Authorization: `Bearer ${token}` }));
  }

  /** Does work with an access token, and once more with a fresh one where the server refused it. */
  private async withToken<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.mustToken();
    try {
      return await work(token);
    } catch (error) {
      if (!(error instanceof SplitpinError) || error.code !== "unauthenticated") throw error;
      const next = await this.signedIn.token(token);
      if (!next) throw signedOut(error);
      if (next === token) throw error;
      return work(next);
    }
  }
}

function bearing(request: Request, token: string): Request {
  request.headers.set("Authorization", `Bearer ${token}`);
  return request;
}

function url(name: string, text: string): URL {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) throw invalid(`${name} holds ${JSON.stringify(text)}, which is no address like https://id.example.com`);
  return new URL(text);
}

function invalid(message: string): SplitpinError {
  return new SplitpinError("invalid_options", 0, {}, message);
}
