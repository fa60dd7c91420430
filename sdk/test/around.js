// What tests put around a Session: a clock that they move, a storage that tabs
// share, and a server that rotates refresh tokens as Splitpin does.

import { Session } from "../dist/session.js";

export const minute = 60_000;
export const hour = 60 * minute;

/** Clocks, chance and locks under the test's control. Whoever sleeps moves the clocks on. */
export class World {
  mono = 1000;
  time = Date.UTC(2026, 0, 1);
  slept = [];
  queue = Promise.resolve();
  locks = true;

  now = () => this.mono;
  wall = () => this.time;
  random = () => 0.5;
  sleep = async (ms) => {
    this.slept.push(ms);
    this.pass(ms);
  };
  alone = (name, work) => {
    if (!this.locks) return work();
    const mine = this.queue.then(work);
    this.queue = mine.catch(() => {});
    return mine;
  };

  pass(ms) {
    this.mono += ms;
    this.time += ms;
  }
}

/** One storage for several tabs. Each hears what the others change. */
export function sharedStorage() {
  let kept = null;
  const tabs = [];
  return {
    get text() {
      return kept;
    },
    tab() {
      const heard = new Set();
      tabs.push(heard);
      const others = () => tabs.filter((t) => t !== heard).forEach((t) => t.forEach((changed) => changed()));
      return {
        get: () => kept,
        set: (value) => {
          kept = value;
          others();
        },
        remove: () => {
          kept = null;
          others();
        },
        subscribe: (changed) => {
          heard.add(changed);
          return () => heard.delete(changed);
        },
      };
    },
  };
}

const user = { id: "u1", identifier: "ada@example.org", kind: "email", proved: true, created_at: "", updated_at: "" };

/**
 * Rotates refresh tokens. The one before the current one gives the current one
 * again for a minute; an older one, or a later use, ends the session.
 */
export class Server {
  base = "https://id.example/p/k/v1";
  lifetime = 3600;
  counter = 0;
  minted = 0;
  supersededAt = 0;
  ended = false;
  rotations = 0;
  calls = []; // path and body of each request
  trouble = []; // what the next requests meet instead: functions that return a Response or throw

  constructor(world) {
    this.world = world;
  }

  fetch = async (url, init) => {
    const path = url.slice(this.base.length);
    const body = JSON.parse(init.body ?? "null");
    this.calls.push({ path, body, init });
    const trouble = this.trouble.shift();
    if (trouble) return trouble();
    return this.answer(path, body);
  };

  answer(path, body) {
    if (path === "/logout") {
      this.ended = true;
      return new Response(null, { status: 204 });
    }
    if (body.grant_type === "authorization_code") {
      this.counter = 1;
      return json(200, { ...this.tokens(), user });
    }
    const shown = Number(body.refresh_token.split(":")[1]);
    if (!this.ended && shown === this.counter) {
      this.counter++;
      this.rotations++;
      this.supersededAt = this.world.time;
    } else if (this.ended || shown !== this.counter - 1 || this.world.time - this.supersededAt > minute) {
      this.ended = true;
      return problem(400, "refresh_invalid");
    }
    return json(200, this.tokens());
  }

  tokens() {
    return {
      access_token: `access-${++this.minted}`,
      id_token: "id",
      refresh_token: `1:${this.counter}`,
      expires_in: this.lifetime,
      token_type: "Bearer",
      auth_method: "OTP",
    };
  }
}

export function json(status, body, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

export function problem(status, code, more = {}, headers = {}) {
  return json(status, { type: `urn:splitpin:error:${code}`, title: code, status, detail: "For the person.", code, request_id: "r1", ...more }, headers);
}

/** Tabs of one browser, the first of which has just signed in. */
export async function signedIn({ tabs = 1, world = new World(), server = new Server(world) } = {}) {
  const storage = sharedStorage();
  const sessions = [];
  for (let i = 0; i < tabs; i++) {
    const own = storage.tab();
    const session = new Session(server, own, world, "lock");
    own.subscribe(() => void session.changed());
    sessions.push(session);
  }
  await sessions[0].open({ grant_type: "authorization_code", code: "c" });
  server.calls.length = 0;
  return { world, server, storage, sessions, session: sessions[0] };
}
