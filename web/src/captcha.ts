// A captcha of somebody else, where the operator configured one.

import { tokenFrom } from "./captchaframe";
import { $ } from "./page";
import { turnTo } from "./screens";

/** Shows the captcha and returns what it gave, good once. Rejects with a Problem. */
export async function askCaptcha(): Promise<string> {
  const place = $("captcha");
  const asked = tokenFrom(place, place.dataset.src ?? "", $("captcha-title").textContent ?? "", (end) => ($("captcha-cancel").onclick = end));
  turnTo("captcha");
  try {
    return await asked;
  } finally {
    $("captcha-cancel").onclick = null;
  }
}
