// A captcha of somebody else, where the operator configured one. It runs in a
// page of its own, which alone is allowed to load it: this page loads nothing
// from elsewhere and only learns the result.

import { SplitpinError as Problem } from "../../sdk/src/errors";
import { $ } from "./page";
import { show } from "./screens";

/** How long the captcha may take to appear, in milliseconds. */
const patience = 15_000;

/** Shows the captcha and returns what it gave, good once. Rejects with a Problem. */
export function askCaptcha(): Promise<string> {
  return new Promise((resolve, reject) => {
    const frame = document.createElement("iframe");
    frame.title = $("captcha-title").textContent ?? "";
    frame.src = $("captcha").dataset.src ?? "";
    const end = (act: () => void): void => {
      clearTimeout(timer);
      removeEventListener("message", hear);
      $("captcha-cancel").onclick = null;
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
    $("captcha-cancel").onclick = () => end(() => reject(new Problem("captcha_stopped")));
    $("captcha").replaceChildren(frame);
    show("captcha");
    $("captcha-title").focus();
  });
}
