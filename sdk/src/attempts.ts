// The calls about an attempt, one to one. `Attempt` in attempt.ts is the
// comfortable way; our own pages use these.

import { call, type Server } from "./call.js";
import type { Attempt, Granted, StartRequest, StartResponse } from "./shapes.js";

export class Attempts {
  constructor(private readonly server: Server) {}

  start(body: StartRequest): Promise<StartResponse> {
    return call(this.server, "POST", "/attempts", body);
  }

  look(id: string, secret: string): Promise<Attempt> {
    return this.about(id, secret, "GET", "");
  }

  answer(id: string, secret: string, body: object): Promise<Granted> {
    return this.about(id, secret, "POST", "/answer", body);
  }

  /** Sends the same code once more; over another channel where one is named. */
  resend(id: string, secret: string, channel?: string): Promise<Attempt> {
    return this.about(id, secret, "POST", "/resend", channel ? { channel } : {});
  }

  /** Asks for the result of an attempt that was proved elsewhere, by its link. */
  grant(id: string, secret: string): Promise<Granted> {
    return this.about(id, secret, "POST", "/grant", {});
  }

  private about<T>(id: string, secret: string, method: string, path: string, body?: object): Promise<T> {
    return call(this.server, method, `/attempts/${encodeURIComponent(id)}${path}`, body, { "Attempt-Secret": secret });
  }
}
