// The window of /webauthn. The SDK makes and uses the passkey, in the page of the
// site; here the person agrees to it first, and a new one begins here: only this
// window holds a proof of who the person is (security 26).
//
//   choice ─▶ (code) ─▶ armed ─▶ the SDK's turn ─▶ closed by the SDK
//      ▲                              │ ERROR_DISPLAY
//      └──────────────────────────────┘

import { Attempts } from "../../sdk/src/attempts";
import { startSolving } from "../../sdk/src/attempts";
import { SplitpinError as Problem } from "../../sdk/src/errors";
import { base64url } from "../../sdk/src/pkce";
import { explain, problem } from "./explain";
import { $, config as page } from "./page";
import { dropProof, leaveProof, type Proof, takeProof } from "./proof";
import { comeBack } from "./recognised";
import { busy, fault, label, say } from "./screens";
import { record, text } from "./sdkconfig";
import { plural, t, tInto } from "./text";

interface Config {
  base: string;
  project: string;
  rememberDays: number;
  domain: string;
  messageId: string;
  register: boolean;
}

const config = page as unknown as Config;
const attempts = new Attempts({ base: config.base });

let identifier = "";
let configured = false;
let waitingText = "";

// ---------------------------------------------------------------- the framing page

function send(name: string, payload?: object): void {
  window.parent.postMessage(JSON.stringify({ callbackName: config.messageId + name, payload }), config.domain);
}

addEventListener("message", (event) => {
  if (event.source !== window.parent || event.origin !== config.domain) return;
  if (typeof event.data !== "string" || event.data.length > 65536) return;
  let message: Record<string, unknown>;
  try {
    message = record(JSON.parse(event.data));
  } catch {
    return;
  }
  const payload = record(message.payload);
  if (message.action === "CONFIG" && !configured) {
    configured = true;
    configure(payload);
    send("LOADED");
  } else if (message.action === "ERROR_DISPLAY" && configured) {
    refuse(text(payload.error, 300) ?? t("passkey.failed"));
  }
});

// What is said where the site says nothing, by the names that the SDK has for it.
const registerTexts = {
  title: "passkey.register.title",
  subtitle: "passkey.register.subtitle",
  button: "passkey.register.button",
  buttonSkip: "passkey.register.skip",
  waiting: "passkey.waiting",
};
const loginTexts = {
  title: "passkey.login.title",
  subtitle: "passkey.login.subtitle",
  button: "passkey.login.button",
  buttonSkip: "passkey.login.skip",
  waiting: "passkey.waiting",
};

/** What people call it on their device, where its maker gave it a name. */
function lock(): string {
  if (/Macintosh/.test(navigator.userAgent)) return "Touch ID";
  return /Windows/.test(navigator.userAgent) ? "Windows Hello" : t("passkey.lock");
}

function configure(payload: Record<string, unknown>): void {
  identifier = text(payload.identifier, 255) ?? "";
  const given = record(config.register ? payload.registrationText : payload.loginText);
  const values: Record<string, string> = {
    method: lock(),
    identifier,
    alternative: text(payload.alternativeMethod, 40) ?? t("passkey.alternative"),
  };
  const ours = config.register ? registerTexts : loginTexts;
  const say = (name: keyof typeof ours): string =>
    (text(given[name], 200) ?? t(ours[name])).replace(/\{\{(\w+)\}\}/g, (whole, value: string) => values[value] ?? whole);
  $("choice-title").textContent = say("title");
  $("choice-lead").textContent = say("subtitle");
  label($("choice-submit")).textContent = say("button");
  $("choice-skip").textContent = say("buttonSkip");
  waitingText = say("waiting");
  document.documentElement.classList.add("ready");
  const error = text(payload.errorDisplay, 300);
  if (error) refuse(error);
  else $("choice-title").focus();
}

// ---------------------------------------------------------------- the choice

function show(screen: "choice" | "code"): void {
  for (const s of document.querySelectorAll<HTMLElement>(".screen")) s.hidden = s.id !== `${screen}-screen`;
}

function refuse(error: string): void {
  busy($("choice-submit"), "");
  show("choice");
  $("choice-error").textContent = error;
}

function explained(error: unknown): string {
  return explain(problem(error), {
    too_many_passkeys: "passkey.many",
    passkey_site: "passkey.site",
    method_off: "passkey.site",
    origin_not_allowed: "fault.refused",
    wrong_answer: "passkey.failed",
  });
}

$("choice-submit").addEventListener("click", () => {
  if ($("choice-submit").classList.contains("busy") || !configured) return;
  $("choice-error").textContent = "";
  busy($("choice-submit"), waitingText);
  if (!config.register) return send("BEGIN_WEBAUTHN_LOGIN", { publicKey: "" });
  void register();
});

for (const id of ["choice-skip", "code-skip"]) $(id).addEventListener("click", () => send("SKIP_WEBAUTHN"));

/** Begins a new passkey and lets the SDK go on. */
async function register(): Promise<void> {
  try {
    const proof = takeProof(config.base, identifier) ?? (await recognised());
    if (!proof) return await askCode();
    await arm(proof);
  } catch (error) {
    if (error instanceof Problem && ["proof_too_old", "attempt_unknown", "attempt_over"].includes(error.code)) {
      dropProof();
      return askCode().catch((again: unknown) => refuse(explained(again)));
    }
    refuse(explained(error));
  }
}

/** What a recognised browser shows in the place of a fresh proof. */
async function recognised(): Promise<Proof | undefined> {
  return (await comeBack(attempts, config, identifier, { code_challenge: nobodys() }))?.proof;
}

/** A challenge for a sign-in that nobody will collect: its proof is all that is wanted. */
function nobodys(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

async function arm(proof: Proof): Promise<void> {
  await attempts.start({ method: "passkey", purpose: "enrol", origin: config.domain, proof, hand_over: true });
  send("BEGIN_WEBAUTHN_REGISTRATION");
}

// ---------------------------------------------------------------- a code first

let asked: Proof | undefined;
let tried = "";

/** Nobody has proved the address in this tab lately: a code does. */
async function askCode(): Promise<void> {
  const started = await startSolving(
    (body) => attempts.start(body),
    { method: identifier.includes("@") ? "email_code" : "sms_code", identifier, origin: config.domain, code_challenge: nobodys() },
    () => true,
  );
  asked = { id: started.attempt.id, secret: started.secret };
  tried = "";
  const code = $<HTMLInputElement>("code");
  code.value = "";
  code.inputMode = /^\d+$/.test(started.attempt.code?.alphabet ?? "") ? "numeric" : "text";
  tInto($("code-sent"), "passkey.code.sent", { address: started.attempt.identifier });
  fault(code, "");
  busy($("choice-submit"), "");
  show("code");
  say($("code-sent").textContent ?? "");
  code.focus();
}

$("code-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void answer();
});

async function answer(): Promise<void> {
  const field = $<HTMLInputElement>("code");
  const code = field.value.replace(/[\s-]/g, "");
  if (!asked || $("code-submit").classList.contains("busy")) return;
  if (!code) return fault(field, t("code.empty"));
  if (code === tried) return fault(field, t("code.wrong"));
  busy($("code-submit"), t("code.busy"));
  try {
    await attempts.answer(asked.id, asked.secret, { code });
    leaveProof(config.base, identifier, asked);
    busy($("code-submit"), "");
    show("choice");
    busy($("choice-submit"), waitingText);
    await arm(asked);
  } catch (error) {
    busy($("code-submit"), "");
    if (error instanceof Problem && error.code === "wrong_code") {
      tried = code;
      return fault(field, error.triesLeft === undefined ? t("code.wrong") : plural("code.wrong.tries", error.triesLeft));
    }
    const over = error instanceof Problem && ["too_many_tries", "attempt_over", "attempt_unknown"].includes(error.code);
    refuse(over ? t("tries.text") : explained(error));
  }
}

if (window.parent === window) {
  $("choice-title").textContent = t("unframed.title");
  $("choice-lead").textContent = t("unframed.text");
  $("choice-submit").hidden = $("choice-skip").hidden = true;
} else {
  send("FIRST_LOAD");
}
