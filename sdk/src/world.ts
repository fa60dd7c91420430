// What this library takes from the browser besides fetch and storage, so that a
// test can put something else in its place.

import { isPassing, SplitpinError } from "./errors.js";

export interface World {
  /** Milliseconds on a clock that nobody sets. It may stand still while the machine sleeps. */
  now(): number;
  /** Milliseconds on the machine's clock, which may be wrong and may be set. */
  wall(): number;
  /** From 0 to 1. */
  random(): number;
  sleep(ms: number): Promise<void>;
  /** Runs work while no other tab runs any under that name, as far as the browser can tell. */
  alone<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/**
 * How long to wait for other tabs, in milliseconds: longer than a call takes
 * (patience in call.ts). A tab that was put to sleep may hold the lock for hours.
 */
const lockPatience = 25_000;

export const sleep = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

export const browser: World = {
  now: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
  sleep,
  async alone(name, work) {
    const locks = globalThis.navigator?.locks;
    if (!locks) return work(); // old browsers, and plain http: work must be right without
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), lockPatience);
    let begun = false;
    try {
      return await locks.request(name, { signal: stop.signal }, () => {
        begun = true;
        return work();
      });
    } catch (error) {
      if (begun) throw error;
      return work();
    } finally {
      clearTimeout(timer);
    }
  },
};

/** Nobody waits longer than this for another try, in milliseconds. */
const longestPause = 5_000;

/**
 * Does work up to so many times, as long as what goes wrong may pass, with
 * pauses of growing, random length. A server that asks for more time than a
 * person would wait gets it: the error is thrown.
 */
export async function again<T>(world: World, tries: number, work: () => Promise<T>): Promise<T> {
  for (let n = 1; ; n++) {
    try {
      return await work();
    } catch (error) {
      const pause = Math.max(askedPause(error), 500 * 2 ** n * (0.5 + world.random() / 2));
      if (n >= tries || !isPassing(error) || pause > longestPause) throw error;
      await world.sleep(pause);
    }
  }
}

/** What the server asked for by Retry-After, in milliseconds. */
export function askedPause(error: unknown): number {
  return ((error instanceof SplitpinError && error.retryAfter) || 0) * 1000;
}
