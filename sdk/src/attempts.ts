// The calls about an attempt, one to one. `Attempt` in attempt.ts is the
// comfortable way; our own pages use these.

import { call, type Server } from "./call.js";
import { isPassing, SplitpinError } from "./errors.js";
import { solve } from "./puzzle.js";
import type { Attempt, Granted, StartRequest, StartResponse } from "./shapes.js";

/** What a right answer gives where the purpose is signing in. */
export type SignInGrant = Granted & Required<Pick<Granted, "authorization_code" | "challenge_id">>;

export class Attempts {
  constructor(private readonly server: Server) {}

  start(body: StartRequest): Promise<StartResponse> {
    return call(this.server, "POST", "/attempts", body);
  }

  look(id: string, secret: string): Promise<Attempt> {
    return this.about(id, secret, "GET", "");
  }

  answer(id: string, secret: string, body: object): Promise<SignInGrant> {
    return this.about(id, secret, "POST", "/answer", body);
  }

  /** Sends the same code once more; over another channel where one is named. */
  resend(id: string, secret: string, channel?: string): Promise<Attempt> {
    return this.about(id, secret, "POST", "/resend", channel ? { channel } : {});
  }

  /** Asks for the result of an attempt that was proved elsewhere, by its link. */
  grant(id: string, secret: string): Promise<SignInGrant> {
    return this.about(id, secret, "POST", "/grant", {});
  }

  private about<T>(id: string, secret: string, method: string, path: string, body?: object): Promise<T> {
    return call(this.server, method, `/attempts/${encodeURIComponent(id)}${path}`, body, { "Attempt-Secret": secret });
  }
}

/** How often in a row a puzzle is solved before the person is told. */
const puzzles = 3;

/**
 * Starts an attempt, and solves the puzzles that a busy network is asked, as long
 * as it is wanted.
 */
export async function startSolving(
  start: (body: StartRequest) => Promise<StartResponse>,
  body: StartRequest,
  wanted: () => boolean,
  onPuzzle?: () => void,
): Promise<StartResponse> {
  for (let n = 0; ; n++) {
    try {
      return await start(body);
    } catch (error) {
      const challenge = error instanceof SplitpinError && error.code === "challenge_required" && error.challenge;
      if (!challenge || n === puzzles || !wanted()) throw error;
      onPuzzle?.();
      body = { ...body, puzzle: await solve(challenge, wanted) };
    }
  }
}

/** How long to wait between two looks at an attempt with a link, in milliseconds. */
const often = 2_000;
const seldom = 6_000; // who is that slow is not looking at this screen
/** How many looks come often. */
const soon = 30;

/**
 * Does look now and then, until it returns something, and returns that. While nobody
 * sees the page nothing is asked; who comes back to it hears at once. What may pass is
 * waited out. Undefined: it is not wanted any more.
 */
export async function watch<T>(sleep: (ms: number) => Promise<void>, wanted: () => boolean, look: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let asked = 0; ; ) {
    let wake!: (_: unknown) => void;
    await new Promise((woken) => {
      document.addEventListener("visibilitychange", (wake = woken));
      void sleep(asked < soon ? often : seldom).then(woken);
    });
    document.removeEventListener("visibilitychange", wake);
    if (!wanted()) return undefined;
    if (document.hidden) continue;
    asked++;
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (error) {
      if (!isPassing(error)) throw error;
    }
  }
}
