// The calls for whoever opened the link of a message. The link alone proves
// nothing: see docs/links.md.

import { call, type Server } from "./call.js";
import type { Admitted, AdmitRequest, Link } from "./shapes.js";

export class Links {
  constructor(private readonly server: Server) {}

  /** What the link is for. Decides nothing. */
  open(link: string): Promise<Link> {
    return call(this.server, "POST", "/link/open", { link });
  }

  admit(body: AdmitRequest): Promise<Admitted> {
    return call(this.server, "POST", "/link/admit", body);
  }

  /** "This was not me": the link does nothing any more. */
  refuse(link: string): Promise<void> {
    return call(this.server, "POST", "/link/refuse", { link });
  }

  /** "This was not me", of what `open` calls `signed_in`: that session ends. After a choice of the person. */
  disown(link: string): Promise<void> {
    return call(this.server, "POST", "/link/disown", { link });
  }
}
