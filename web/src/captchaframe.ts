// The frame in which a captcha of somebody else runs. It is a page of its own, which alone
// is allowed to load the captcha: this page loads nothing from elsewhere and only learns
// the result.

import { SplitpinError as Problem } from "../../sdk/src/errors";

/** How long the captcha may take to appear, in milliseconds. */
const patience = 15_000;

/** Shows the captcha at src in a place and returns what it gave, good once. Rejects with a Problem. stop is handed what ends it before. */
export function tokenFrom(place: HTMLElement, src: string, title: string, stop?: (end: () => void) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const frame = document.createElement("iframe");
    frame.title = title;
    frame.src = src;
    const end = (act: () => void): void => {
      clearTimeout(timer);
      removeEventListener("message", hear);
      frame.remove();
      act();
    };
    const hear = (event: MessageEvent): void => {
      if (event.source !== frame.contentWindow || event.origin !== location.origin) return;
      const said = event.data as { captcha?: unknown; token?: unknown } | null;
      switch (said?.captcha) {
        case "ready":
          return clearTimeout(timer);
        case "done":
          if (typeof said.token === "string" && said.token.length <= 8192) return end(() => resolve(said.token as string));
          return;
        case "failed":
          return end(() => reject(new Problem("captcha_failed")));
      }
    };
    const timer = setTimeout(() => end(() => reject(new Problem("captcha_failed"))), patience);
    addEventListener("message", hear);
    stop?.(() => end(() => reject(new Problem("captcha_stopped"))));
    place.replaceChildren(frame);
  });
}
