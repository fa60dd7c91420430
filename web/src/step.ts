// A step of the way back from a provider. The steps are pages of the server and need no
// script, but for two things: to tell the web SDK where its window stands (contract 12.4),
// and to show that nobody sends codes by machine, where a network is asked to.

import { solve } from "../../sdk/src/puzzle";
import { tokenFrom } from "./captchaframe";

interface Config {
  frame?: {
    domain: string;
    messageId: string;
    tokenId: string;
    userId: string;
    provider: string;
    first: boolean;
    done: boolean;
  };
  puzzle?: string;
}

const $ = (id: string): HTMLElement | null => document.getElementById(id);
const config = JSON.parse($("config")!.textContent!) as Config;

const frame = config.frame;
if (frame) {
  const send = (name: string, payload?: object): void =>
    window.parent.postMessage(JSON.stringify({ callbackName: frame.messageId + name, payload }), frame.domain);
  if (frame.first) {
    send("FIRST_LOAD");
    send("LOADED");
  }
  if (frame.done) {
    // What was proved is on the server. The SDK asks there, and names nothing that counts.
    send("ON_SOCIAL_LOGIN_CONNECT", { tokenID: frame.tokenId, userID: frame.userId, provider: frame.provider });
  }
  $("step-cancel")?.addEventListener("click", () => send("CANCEL"));
}

const field = $("step-check") as HTMLInputElement | null;
if (field) void check(field);

/** Fills the field and goes on. What went wrong can be tried again by the button. */
async function check(field: HTMLInputElement): Promise<void> {
  const busy = $("step-busy")!;
  try {
    const captcha = $("step-captcha");
    busy.hidden = captcha !== null;
    field.value = captcha ? await tokenFrom(captcha, captcha.dataset.src!, captcha.dataset.title!) : await solve(config.puzzle!, () => true);
    field.form!.submit();
  } catch {
    busy.hidden = true;
    const error = $("step-error")!;
    error.textContent = error.dataset.failed!;
    $("step-submit")!.hidden = false;
  }
}
