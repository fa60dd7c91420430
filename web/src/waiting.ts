// While a link is on its way: what its page may ask for is shown here, and the
// server is asked now and then whether it was opened.

import type { Attempt } from "../../sdk/src/shapes";
import { $, config } from "./page";
import type { RequestText } from "./sdkconfig";
import { t, tInto } from "./text";

/** Shows the two digits of this screen, and the site's own words where it has some. */
export function showLink(digits: string, identifier: string, site: RequestText): void {
  const values = { identifier, type: config.kind === "phone" ? t("link.type.phone") : t("link.type.email") };
  const own = (text: string): string => text.replace(/\{\{(identifier|type)\}\}/g, (_, name: "identifier" | "type") => values[name]);
  if (site.title) $("code-title").textContent = own(site.title);
  if (site.subtitle) $("code-sent").textContent = own(site.subtitle);
  else tInto($("code-sent"), "link.sent", { address: identifier });
  $("link-digits").textContent = digits;
  $("link-switch").textContent = site.switchOTPText ?? t("link.switch");
}

const often = 2_000; // milliseconds between two questions
const seldom = 6_000; // the same after a minute: who is that slow is not looking at this screen
const soon = 30; // questions

/**
 * Asks about the attempt until it is no longer open, and hands it on then; and once
 * before, where its link is switched off for others. It stops when live says no, pauses while nobody sees the page, and goes on after
 * failures that pass. Where done throws, it is asked again.
 */
export function watch(ask: () => Promise<Attempt>, live: () => boolean, done: (a: Attempt) => Promise<void>): void {
  let asked = 0;
  let off = false; // the link: but in this browser it still works
  const next = (): void => {
    const go = async (): Promise<void> => {
      if (!live()) return;
      if (document.hidden) return document.addEventListener("visibilitychange", () => void go(), { once: true });
      try {
        const a = await ask();
        if (!live()) return;
        if (a.state !== "open") return await done(a);
        if (!off && a.link && a.link.state !== "open") {
          off = true;
          await done(a);
        }
      } catch {
        // The next question may be answered; the code's own end ends this too.
      }
      next();
    };
    setTimeout(() => void go(), asked++ < soon ? often : seldom);
  };
  next();
}
