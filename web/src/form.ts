// The sign-in form. Three screens stand in the page: the address, the code, and
// a status that ends or interrupts a sign-in. What may happen next is told by
// the phase, and by nothing else:
//
//   address ─▶ asking ─▶ starting ─▶ code ─▶ checking ─▶ finishing ─▶ done
//      ▲         │ frame: the site's OnBegin                  │ frame: DONE_SUCCESS
//      └─────────┴──────── every failure has a way back ──────┘
//
// asking and finishing are for the frame only: elsewhere nobody is asked, and
// the result is a navigation.

import { Attempts } from "../../sdk/src/attempts";
import { SplitpinError as Problem } from "../../sdk/src/errors";
import { solve } from "../../sdk/src/puzzle";
import type { Attempt, StartRequest } from "../../sdk/src/shapes";
import { dressButton, dressErrors } from "./colour";
import { type FromSDK, Parent, type SDKConfig } from "./parent";
import { clock, duration, has, plural, t, tInto, useTexts } from "./text";

interface Config {
  mode: "frame" | "app" | "signin";
  base: string;
  locale: string;
  domain: string;
  messageId: string;
  challenge: string;
  state: string;
  redirectUrl: string;
  formId: string;
  input: string;
  directLogin: boolean;
  issuer: string;
  text: Record<string, string>;
}

type Phase = "address" | "asking" | "starting" | "code" | "checking" | "finishing" | "done" | "stopped";

const $ = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

const config = JSON.parse($("config").textContent ?? "") as Config;
useTexts(config.text, config.locale);
const attempts = new Attempts({ base: config.base });
const framed = config.mode === "frame";

const addressField = $<HTMLInputElement>("address");
const codeField = $<HTMLInputElement>("code");

let phase: Phase = "address";
let round = 0; // grows with every start over; what belongs to an older round is dropped
let address = ""; // as submitted
let attempt: Attempt | undefined;
let secret = "";
let triedCode = ""; // the last code that was refused
let triedFault = ""; // what was said about it
let expiresAt = 0; // by this machine's clock, in milliseconds
let resendAt = 0;
let resending = false;
let waiting = 0; // timer that gives the person a way out of waiting for the site

/** How long the site may think before the form says so, in milliseconds. */
const siteSlow = 8_000;
const siteGone = 30_000;

// ---------------------------------------------------------------- screens

type Screen = "address" | "code" | "status";

function show(screen: Screen): void {
  for (const s of ["address", "code", "status"]) $(`${s}-screen`).hidden = s !== screen;
}

function say(text: string): void {
  $("live").textContent = text;
}

/** Shows an error under a field and takes the person there. An empty text clears it. */
function fault(field: HTMLInputElement, text: string, focus = true): void {
  $(`${field.id}-error`).textContent = text;
  if (text) {
    field.setAttribute("aria-invalid", "true");
    if (focus) {
      field.focus();
      field.select();
    }
  } else {
    field.removeAttribute("aria-invalid");
  }
}

/** A busy button keeps its place and the focus; a second click does nothing. */
function busy(button: HTMLElement, text: string): void {
  const label = button.querySelector(".button_text") as HTMLElement;
  label.dataset.idle ??= label.textContent ?? "";
  label.textContent = text || label.dataset.idle;
  button.setAttribute("aria-disabled", String(text !== ""));
  button.classList.toggle("busy", text !== "");
  say(text); // what is over is not said any longer
}

interface Status {
  kind: "good" | "bad" | "wait";
  title: string;
  text: string | ((element: HTMLElement) => void);
  action?: { label: string; run: () => void };
  link?: { label: string; href: string };
}

function status(s: Status): void {
  clearTimeout(waiting);
  const screen = $("status-screen");
  screen.classList.remove("good", "bad", "wait");
  screen.classList.add(s.kind);
  $("status-title").textContent = s.title;
  if (typeof s.text === "string") $("status-text").textContent = s.text;
  else s.text($("status-text"));
  const button = $("status-action");
  button.hidden = !s.action;
  delete (button.querySelector(".button_text") as HTMLElement).dataset.idle;
  (button.querySelector(".button_text") as HTMLElement).textContent = s.action?.label ?? "";
  busy(button, "");
  button.onclick = () => s.action?.run();
  const link = $<HTMLAnchorElement>("status-link");
  link.hidden = !s.link;
  if (s.link) {
    link.textContent = s.link.label;
    link.href = s.link.href;
    link.rel = "noreferrer";
  }
  show("status");
  $("status-title").focus();
}

// ---------------------------------------------------------------- address

function toAddress(error = "", focus = true): void {
  phase = "address";
  round++;
  clearTimeout(waiting);
  attempt = undefined;
  forget();
  $("address-waiting").hidden = true;
  busy($("address-submit"), "");
  show("address");
  fault(addressField, error, false);
  if (focus) {
    addressField.focus();
    if (!addressField.readOnly) addressField.select();
  }
}

$("address-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submitAddress();
});

addressField.addEventListener("input", () => fault(addressField, ""));

function submitAddress(): void {
  if (phase !== "address") return;
  const typed = addressField.value.trim();
  // The server decides what an address is; this only spares a round trip.
  if (!/^[^\s@]+@[^\s@]+$/.test(typed)) return fault(addressField, t(typed ? "address.invalid" : "address.empty"));
  fault(addressField, "");
  address = typed;
  if (!framed) return void start();

  phase = "asking";
  busy($("address-submit"), t("address.asking"));
  parent?.send("ON_BEGIN", {
    identifier: typed,
    identifier_type: "EMAIL",
    device_type: "BROWSER",
    device_name: navigator.userAgent,
    auth_required: true,
    client_json: {},
  });
  // The SDK stays silent when the site's own function throws.
  waiting = setTimeout(() => {
    const text = t("address.slow", { site: host(config.domain) });
    ($("address-waiting").firstElementChild as HTMLElement).textContent = text;
    $("address-waiting").hidden = false;
    say(text);
  }, siteSlow);
}

$("address-cancel").addEventListener("click", () => {
  if (phase === "asking") toAddress(t("address.stopped"));
});

/** Asks for an attempt and with it for the message. */
async function start(): Promise<void> {
  phase = "starting";
  clearTimeout(waiting);
  $("address-waiting").hidden = true;
  const mine = ++round;
  const onStatus = !$("status-screen").hidden;
  const button = $(onStatus ? "status-action" : "address-submit");
  busy(button, t("address.busy"));
  const body: StartRequest = {
    method: "email_code",
    identifier: address,
    code_challenge: config.challenge,
    locale: config.locale,
  };
  if (framed) body.origin = config.domain;
  if (config.redirectUrl) body.redirect_url = config.redirectUrl;
  if (config.formId) body.form_id = config.formId;
  try {
    for (let puzzles = 0; ; puzzles++) {
      try {
        const started = await attempts.start(body);
        if (mine !== round) return;
        secret = started.secret;
        remember(started.attempt.id);
        return toCode(started.attempt);
      } catch (error) {
        const challenge = error instanceof Problem && error.code === "challenge_required" && error.challenge;
        if (!challenge || puzzles === 3 || mine !== round) throw error;
        busy(button, t("address.puzzle"));
        body.puzzle = await solve(challenge, () => mine === round);
        if (mine !== round) return;
        busy(button, t("address.busy"));
      }
    }
  } catch (error) {
    if (mine !== round) return;
    refusedStart(error);
  }
}

function refusedStart(error: unknown): void {
  const p = error instanceof Problem ? error : undefined;
  switch (p?.code) {
    case "origin_not_allowed":
    case "redirect_not_allowed":
    case "unknown_project":
      return stop({ kind: "bad", title: t("unfinished.title"), text: t("fault.refused") });
  }
  toAddress(explain(p ?? new Problem("puzzle")));
}

/** What a problem means for the person, and what to do. */
function explain(p: Problem): string {
  const time = duration(p.retryAfter || 60);
  const texts: Record<string, string> = {
    offline: "fault.offline",
    unavailable: "fault.unavailable",
    puzzle: "fault.puzzle",
    challenge_required: "fault.puzzle",
    invalid_identifier: "address.invalid",
    not_admitted: "fault.admitted",
    too_many_starts: "fault.starts",
    too_many_messages: "fault.messages",
    resend_too_soon: "fault.resend",
  };
  const key = texts[p.code] ?? (p.status === 429 ? "fault.limited" : "fault.internal");
  const reference = p.requestId && (p.status >= 500 || key === "fault.internal") ? ` ${t("fault.reference", { id: p.requestId })}` : "";
  return t(key, { time }) + reference;
}

// ---------------------------------------------------------------- code

/**
 * A result that leaves the browser for an app or for a program on this machine
 * is given out by a tap only, on a screen that names where it goes: any program
 * may claim such an address.
 */
const needsTap = !framed && leavesBrowser(config.redirectUrl);

function leavesBrowser(url: string): boolean {
  const m = /^(https?):\/\/(?:[^@/?#]*@)?(\[[^\]]*\]|[^:/?#]*)/i.exec(url);
  return !m || /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/i.test(m[2]!);
}

function toCode(a: Attempt): void {
  phase = "code";
  triedCode = "";
  learn(a);
  const length = a.code?.length ?? 6;
  const digits = /^\d+$/.test(a.code?.alphabet ?? "0123456789");
  tInto($("code-sent"), digits ? "code.sent.digits" : "code.sent", { address: a.identifier }, { n: length });
  (document.querySelector(".verification_label") as HTMLElement).textContent = digits
    ? t("code.label.digits", { n: length })
    : t("code.label");
  codeField.inputMode = digits ? "numeric" : "text";
  codeField.pattern = digits ? "[0-9 \\-]*" : "";
  if (!digits) codeField.removeAttribute("pattern");
  codeField.value = "";
  codeField.classList.toggle("long", length > 7);
  $("code-hint").textContent = t(needsTap ? "code.hint.tap" : "code.hint");
  const destination = $("code-destination");
  destination.hidden = !needsTap;
  if (needsTap) tInto(destination, "code.continue", { destination: host(config.redirectUrl) });
  fault(codeField, "");
  busy($("address-submit"), "");
  busy($("code-submit"), "");
  show("code");
  tick();
  say($("code-sent").textContent ?? "");
  codeField.focus();
  // The browser's Back leads from the code to the address. In a frame it is
  // the site's own and stays so.
  if (!framed && history.state !== "code") history.pushState("code", "");
}

/** Takes over what the server told about the attempt. */
function learn(a: Attempt): void {
  attempt = a;
  expiresAt = Date.now() + a.expires_in * 1000;
  resendAt = a.resend_in < 0 ? Infinity : Date.now() + a.resend_in * 1000;
}

/**
 * What was typed or pasted, without the spaces and hyphens people put into
 * codes, and in capitals where the code knows no others.
 */
function typedCode(): string {
  const code = codeField.value.replace(/[\s\u2010-\u2015-]/g, "");
  const alphabet = attempt?.code?.alphabet ?? "";
  return alphabet === alphabet.toUpperCase() ? code.toUpperCase() : code;
}

codeField.addEventListener("input", () => {
  const code = typedCode();
  const length = attempt?.code?.length ?? 6;
  // A whole sentence from the mail may be pasted: take the code out of it.
  if (code.length > length) {
    const alphabet = attempt?.code?.alphabet ?? "0123456789";
    const found = codeField.value.split(/[^\p{L}\p{N}]+/u).find((word) => word.length === length && [...word].every((c) => alphabet.includes(c)));
    if (found) codeField.value = found;
  }
  if (code !== triedCode) fault(codeField, "");
  if (!needsTap && typedCode().length === length) void submitCode();
});

$("code-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void submitCode(true);
});

async function submitCode(asked = false): Promise<void> {
  if (phase !== "code" || !attempt) return;
  const code = typedCode();
  const length = attempt.code?.length ?? 6;
  if (!code) return fault(codeField, t("code.empty"));
  if (code.length !== length) return fault(codeField, t("code.short", { n: length }));
  // The same wrong code again would only cost a try.
  if (code === triedCode) return asked ? fault(codeField, triedFault) : undefined;
  phase = "checking";
  const mine = round;
  fault(codeField, "");
  busy($("code-submit"), t("code.busy"));
  try {
    const granted = await attempts.answer(attempt.id, secret, { code });
    if (mine !== round) return;
    forget();
    finish(granted.authorization_code, granted.challenge_id);
  } catch (error) {
    if (mine !== round) return;
    phase = "code";
    busy($("code-submit"), "");
    refusedCode(error instanceof Problem ? error : new Problem("internal"), code);
  }
}

function refusedCode(p: Problem, code: string): void {
  switch (p.code) {
    case "wrong_code":
      triedCode = code;
      triedFault = p.triesLeft === undefined ? t("code.wrong") : plural("code.wrong.tries", p.triesLeft);
      return fault(codeField, triedFault);
    case "too_many_tries":
      return stop({ kind: "bad", title: t("tries.title"), text: t("tries.text"), ...again() });
    case "attempt_over":
    case "attempt_unknown":
      if (Date.now() >= expiresAt) return expired();
      return stop({ kind: "bad", title: t("over.title"), text: t("over.text"), ...again() });
    case "not_admitted":
      return stop({ kind: "bad", title: t("unfinished.title"), text: t("fault.admitted"), ...again() });
  }
  fault(codeField, explain(p));
}

$("code-change").addEventListener("click", () => {
  if (phase !== "code") return;
  if (history.state === "code") history.back(); // popstate shows the address
  else toAddress();
});

$("code-resend").addEventListener("click", () => void resend());

async function resend(): Promise<void> {
  if (phase !== "code" || !attempt || resending || Date.now() < resendAt) return;
  resending = true;
  const mine = round;
  tick();
  try {
    const a = await attempts.resend(attempt.id, secret);
    if (mine !== round) return;
    learn({ ...attempt, ...a });
    say("");
    requestAnimationFrame(() => say(t("code.resend.done")));
    notice(t("code.resend.done"));
    codeField.focus();
  } catch (error) {
    if (mine !== round) return;
    const p = error instanceof Problem ? error : new Problem("internal");
    if (p.retryAfter) resendAt = Date.now() + p.retryAfter * 1000;
    if (p.code === "attempt_over" || p.code === "attempt_unknown" || p.code === "too_many_tries") return refusedCode(p, "");
    say("");
    fault(codeField, explain(p), false);
    codeField.removeAttribute("aria-invalid"); // the code is not what was wrong
  } finally {
    resending = false;
    tick();
  }
}

let noticeUntil = 0;

/** Replaces the remaining time by a short notice. */
function notice(text: string): void {
  noticeUntil = Date.now() + 6000;
  $("code-valid").textContent = text;
}

/** Redraws what counts down. Nothing here is announced: a screen reader would talk without end. */
function tick(): void {
  if (phase !== "code" && phase !== "checking") return;
  const now = Date.now();
  const button = $("code-resend");
  const none = resendAt === Infinity;
  button.hidden = none;
  $("code-none").hidden = !none;
  const wait = (resendAt - now) / 1000;
  const label = resending ? t("code.resend.busy") : wait > 0 ? t("code.resend.wait", { time: clock(wait) }) : t("code.resend");
  if (button.textContent !== label) button.textContent = label;
  button.setAttribute("aria-disabled", String(resending || wait > 0));
  const left = (expiresAt - now) / 1000;
  const valid = t("code.expires", { time: left > 90 ? duration(left) : clock(left) });
  if (now > noticeUntil && $("code-valid").textContent !== valid) $("code-valid").textContent = valid;
  if (left <= 0 && phase === "code") expired();
}

setInterval(tick, 500);

function expired(): void {
  const identifier = attempt?.identifier ?? address;
  address = identifier;
  stop({
    kind: "bad",
    title: t("expired.title"),
    text: (element) => tInto(element, "expired.text", { address: identifier }),
    action: { label: t("expired.action"), run: () => phase === "stopped" && void start() },
    ...back("expired"),
  });
}

// ---------------------------------------------------------------- the end

/** Hands the result to whoever asked for it. */
function finish(code: string, challengeId: number): void {
  if (!framed) return leave({ code, state: config.state, challenge_id: String(challengeId), ...(config.issuer && { iss: config.issuer }) });
  phase = "finishing";
  const mine = round;
  status({ kind: "wait", title: t("finishing.title"), text: t("finishing.text") });
  parent?.send("ON_SUBMIT_AUTHORIZATION_CODE", {
    authorization_code: code,
    challenge_id: challengeId,
    state: config.state,
    client_json: {},
  });
  waiting = setTimeout(() => {
    if (mine === round && phase === "finishing") unfinished(t("unfinished.slow"));
  }, siteGone);
}

function unfinished(text: string): void {
  stop({ kind: "bad", title: t("unfinished.title"), text, ...again() });
}

function succeeded(): void {
  phase = "done";
  clearTimeout(waiting);
  status({ kind: "good", title: t("success.title"), text: t("success.text") });
}

/** Goes to the app with the result. The page stays usable where nothing takes over. */
function leave(result: Record<string, string>): void {
  phase = "done";
  const url = withParams(config.redirectUrl, result);
  status({
    kind: "good",
    title: t("success.title"),
    text: (element) => tInto(element, "success.redirect", { destination: host(config.redirectUrl) }),
    link: { label: t("success.action"), href: url },
  });
  location.replace(url);
}

/** Ends in a state that only its own action leaves. */
function stop(s: Status): void {
  phase = "stopped";
  round++;
  forget();
  busy($("code-submit"), "");
  status(s);
}

function again(): Pick<Status, "action" | "link"> {
  return { action: { label: t("action.restart"), run: () => phase === "stopped" && toAddress() }, ...back("access_denied") };
}

/** A way back to the app that asked, which learns that it gets nothing. */
function back(error: string): Pick<Status, "link"> {
  if (framed || !config.redirectUrl) return {};
  return {
    link: {
      label: t("action.back", { destination: host(config.redirectUrl) }),
      href: withParams(config.redirectUrl, { error, state: config.state }),
    },
  };
}

/** Adds parameters to the query of a URL, in place of any of the same name. */
function withParams(url: string, params: Record<string, string>): string {
  const [beforeHash = "", ...hash] = url.split("#");
  const [path = "", ...query] = beforeHash.split("?");
  const kept = query
    .join("?")
    .split("&")
    .filter((pair) => pair !== "" && !(decode(pair.split("=")[0] ?? "") in params));
  for (const [k, v] of Object.entries(params)) kept.push(`${encodeURIComponent(k)}=${encodeURIComponent(v)}`);
  return path + "?" + kept.join("&") + (hash.length ? "#" + hash.join("#") : "");
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The part of a URL that tells a person where it leads: host and port, or the scheme of an app. */
function host(url: string): string {
  const m = /^([a-z][a-z0-9+.-]*):\/\/(?:[^@/?#]*@)?([^/?#]*)/i.exec(url);
  if (!m) return url;
  return /^https?$/i.test(m[1]!) ? m[2]! : `${m[1]}://${m[2]}`;
}

// ---------------------------------------------------------------- the framing page

let configured = false;

/** Each message is taken in the phase it belongs to, and at most once there. */
function receive(message: FromSDK): void {
  switch (message.action) {
    case "CONFIG":
      if (configured) return;
      configured = true;
      configure(message.config);
      parent?.send("LOADED");
      return;
    case "CONTINUE_SUBMIT":
      // The SDK echoes what it was told; for another address it means nothing.
      if (phase === "asking" && (message.identifier === undefined || message.identifier === address)) void start();
      return;
    case "ON_ERROR":
      if (phase === "asking") toAddress(message.message || t("fault.admitted"));
      return;
    case "DONE_SUCCESS":
      // In the phase asking: the site signed in with a passkey instead.
      if (phase === "finishing" || phase === "asking") succeeded();
      return;
    case "DONE_ERROR":
      if (phase === "finishing" || phase === "asking") {
        unfinished(message.message ? t("unfinished.said", { message: message.message }) : t("unfinished.text"));
      }
  }
}

function configure(c: SDKConfig): void {
  document.documentElement.classList.add("ready");
  if (c.buttonText) {
    const label = $("address-submit").querySelector(".button_text") as HTMLElement;
    if (phase === "address") label.textContent = c.buttonText;
    else label.dataset.idle = c.buttonText;
  }
  if (phase === "address") {
    if (c.identifierFieldInitialValue) addressField.value = c.identifierFieldInitialValue;
    addressField.readOnly = c.identifierFieldDisabled === true;
  }
  const dress = (): void => {
    dressButton(c.buttonBackgroundColor, c.buttonTextColor, c.buttonBorderColor);
    if (c.errorColor) dressErrors(c.errorColor);
  };
  dress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const name of ["--accent", "--on-accent", "--accent-edge", "--bad"]) document.documentElement.style.removeProperty(name);
    dress();
  });
}

const parent = framed ? new Parent(config.domain, config.messageId, receive) : undefined;

// ---------------------------------------------------------------- reload and Back

// A phone may throw the page away while the person reads the mail. A page of
// its own keeps the attempt for this tab, so that coming back finds the code
// screen. In a frame a reload brings another challenge, so there is no use.

const memory = "splitpin.attempt";

function remember(id: string): void {
  if (framed) return;
  try {
    sessionStorage.setItem(memory, JSON.stringify({ id, secret, challenge: config.challenge, state: config.state }));
  } catch {
    // Storage is switched off: a reload starts over.
  }
}

function forget(): void {
  try {
    sessionStorage.removeItem(memory);
  } catch {
    // As above.
  }
}

async function resume(): Promise<boolean> {
  if (framed) return false;
  try {
    const kept = JSON.parse(sessionStorage.getItem(memory) ?? "null") as Record<string, string> | null;
    if (!kept || kept.challenge !== config.challenge || kept.state !== config.state) return false;
    const mine = round;
    const a = await attempts.look(kept.id ?? "", kept.secret ?? "");
    if (a.state !== "open" || mine !== round || phase !== "address") return false;
    secret = kept.secret ?? "";
    address = a.identifier;
    addressField.value = a.identifier;
    toCode(a);
    return true;
  } catch {
    return false;
  }
}

addEventListener("popstate", () => {
  if (phase === "code" || phase === "checking") toAddress();
});

// A page taken from the back-forward cache after it handed out its result
// starts over.
addEventListener("pageshow", (event) => {
  if (event.persisted && (phase === "done" || phase === "finishing")) toAddress();
});

async function begin(): Promise<void> {
  if (framed) {
    // The server refuses this too where the browser tells it; old ones do not.
    if (window.parent === window) return stop({ kind: "bad", title: t("unframed.title"), text: t("unframed.text") });
    return parent?.send("FIRST_LOAD");
  }
  if (history.state === "code") history.replaceState(null, "");
  if (await resume()) return;
  if (config.directLogin && addressField.value) return submitAddress();
  if (phase === "address") addressField.focus();
}

if (has("address.submit")) void begin();
