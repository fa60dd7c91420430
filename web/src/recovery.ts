// An account that a code alone does not open, for who came with one or finds that somebody
// else did: what they read, and how it is cancelled.

import type { SplitpinError as Problem } from "../../sdk/src/errors";
import type { Recovery } from "../../sdk/src/shapes";
import { $ } from "./page";
import { busy, turnTo } from "./screens";
import { duration, t } from "./text";

/** What is said of a proof that was right and opens nothing. */
export interface Held {
  title: string;
  text: string;
}

/** What is said where that is the problem; undefined where it is another. */
export function heldBack(p: Problem): Held | undefined {
  switch (p.code) {
    case "recovery_offered":
      return { title: t("recovery.title"), text: t("recovery.offer") };
    case "recovery_waits":
      return { title: t("recovery.title"), text: t("recovery.text", { time: duration(p.retryAfter || 60) }) };
    case "passkey_required":
      return { title: t("recovery.title"), text: t("recovery.passkey") };
    case "number_not_enough":
      return { title: t("recovery.number.title"), text: t("recovery.number") };
  }
  return undefined;
}

/** Shows somebody who came with the passkey that a recovery has begun. It ends when they decided. */
export async function showRecovery(r: Recovery): Promise<void> {
  const begun = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "short" }).format(new Date(r.begun_at));
  const words = { device: r.device ?? t("recovery.seen.device"), when: begun, time: duration(r.opens_in) };
  $("recovery-text").textContent = t(r.opens_in > 0 ? "recovery.seen.text" : "recovery.seen.open", words);
  turnTo("recovery");
  await new Promise<void>((done) => {
    $("recovery-keep").onclick = () => done();
    $("recovery-cancel").onclick = () => void cancel(r).then((cancelled) => cancelled && done());
  });
}

async function cancel(r: Recovery): Promise<boolean> {
  const button = $("recovery-cancel");
  if (button.classList.contains("busy")) return false;
  busy(button, t("recovery.seen.busy"));
  $("recovery-error").textContent = "";
  try {
    // The page of the message, on this server; where there is nothing to cancel any more, it says so.
    const answer = await fetch(new URL(r.cancel_url).pathname, { method: "POST", body: new URLSearchParams({ choice: "undo" }) });
    if (answer.ok || answer.status === 404) return true;
  } catch {
    // As below.
  } finally {
    busy(button, "");
  }
  $("recovery-error").textContent = t("passkey.failed");
  return false;
}
