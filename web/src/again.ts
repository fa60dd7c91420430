// The line below a message that was sent: another one, and how long this one is
// good for. What counts down is not announced: a screen reader would talk
// without end.

import type { Attempt } from "../../sdk/src/shapes";
import { $ } from "./page";
import { clock, duration, t } from "./text";

let expiresAt = 0; // by this machine's clock, in milliseconds
let resendAt = 0;
let noticeUntil = 0;
let resending = false;
let resendText = "";

/** Takes over what the server told about an attempt. */
export function countFor(a: Attempt): void {
  expiresAt = Date.now() + a.expires_in * 1000;
  resendAt = a.resend_in < 0 ? Infinity : Date.now() + a.resend_in * 1000;
}

/** What the button says while it works. */
export function nameResend(text: string): void {
  resendText = text;
}

export function isOver(): boolean {
  return Date.now() >= expiresAt;
}

export function mayResend(): boolean {
  return !resending && Date.now() >= resendAt;
}

/** Notes that a message is being asked for, or no longer; after is a pause in seconds that the server named. */
export function resendRuns(runs: boolean, after = 0): void {
  resending = runs;
  if (after) resendAt = Date.now() + after * 1000;
}

/** Replaces the remaining time by a short notice. */
export function notice(text: string): void {
  noticeUntil = Date.now() + 6000;
  $("code-valid").textContent = text;
}

/** Redraws the line. */
export function drawAgain(): void {
  const now = Date.now();
  const button = $("code-resend");
  const none = resendAt === Infinity;
  button.hidden = none;
  $("code-none").hidden = !none;
  const wait = (resendAt - now) / 1000;
  const label = resending ? t("code.resend.busy") : wait > 0 ? t("code.resend.wait", { time: clock(wait) }) : resendText;
  if (button.textContent !== label) button.textContent = label;
  for (const b of [button, $("code-other")]) b.setAttribute("aria-disabled", String(resending || wait > 0));
  const left = (expiresAt - now) / 1000;
  const valid = t("code.expires", { time: left > 90 ? duration(left) : clock(left) });
  if (now > noticeUntil && $("code-valid").textContent !== valid) $("code-valid").textContent = valid;
}
