// The sign-in form. Its screens stand in the page: the address, the code or
// link that was sent, and a status that ends or interrupts a sign-in. What may
// happen next is told by the phase, and by nothing else:
//
//   address ─▶ asking ─▶ starting ─▶ code ─▶ checking ─▶ finishing ─▶ done
//      ▲         │ frame: the site's OnBegin                  │ frame: DONE_SUCCESS
//      └─────────┴──────── every failure has a way back ──────┘
//
// asking and finishing are for the frame only: elsewhere nobody is asked, and
// the result is a navigation. held is for who comes with a code and should come with
// a passkey; in a frame the site has the window for that, and window waits for it.
// leaving is a sign-in with an account elsewhere.
//
// This file is the way from phase to phase. What a screen is made of stands in
// the files it imports, each with one job.

import { Attempts, type SignInGrant, startSolving, watch } from "../../sdk/src/attempts";
import { isPassing, SplitpinError as Problem } from "../../sdk/src/errors";
import type { Attempt, StartRequest, StartResponse } from "../../sdk/src/shapes";
import { sleep } from "../../sdk/src/world";
import { countFor, drawAgain, isOver, mayResend, nameResend, notice, resendRuns } from "./again";
import { askCaptcha } from "./captcha";
import { channelNow, chooseChannel, configureChannels, channelsLeft } from "./channels";
import { codeInput, codeIsWhole, expectCode, findCode, readCode, typedCode } from "./codefield";
import { dressForm } from "./colour";
import { host, leavesBrowser, withParams } from "./destination";
import { explain, problem } from "./explain";
import { addFields, type ClientData, readFields } from "./fields";
import { type IdentifierField, identifierInput } from "./identifier";
import { showLegal } from "./legal";
import { bearHere, type OpenedLink } from "./link";
import { forget, recall, remember } from "./memory";
import { $, config, framed } from "./page";
import { hasPasskeys, offerPasskeys, offerToMake, stopOffering, usePasskey } from "./passkeys";
import { type FromSDK, Parent } from "./parent";
import { leaveProof } from "./proof";
import { type Held, heldBack, showRecovery } from "./recovery";
import { type Back, comeBack, isKept, lastKept, remember as rememberBrowser, remembers } from "./recognised";
import { showProviders } from "./providers";
import { busy, fault, label, rename, say, show, status, type Status, turnTo } from "./screens";
import { completed, type RequestText, type SDKConfig } from "./sdkconfig";
import { dress } from "./styles";
import { plural, t, tInto } from "./text";
import { showLink } from "./waiting";

type Phase = "held" | "window" | "address" | "known" | "asking" | "starting" | "code" | "checking" | "finishing" | "done" | "stopped" | "leaving" | "bearing";

const attempts = new Attempts({ base: config.base });

/** What the form asks for; given by begin. */
let identifier: IdentifierField;

let phase: Phase = "address";
let round = 0; // grows with every start over; what belongs to an older round is dropped
let address = ""; // as submitted
let clientData: ClientData = {}; // as submitted
let attempt: Attempt | undefined;
let secret = "";
let triedCode = ""; // the last code that was refused
let triedFault = ""; // what was said about it
let waiting = 0; // timer that gives the person a way out of waiting for the site
let captchaFirst = false; // the site wants a captcha before anything is sent
let requestText: RequestText = {};
let recognised: (Back & { until: number }) | undefined; // what this browser proved by its own key, in the phase asking

/** How long the site may think before the form says so, in milliseconds. */
const siteSlow = 8_000;
const siteGone = 30_000;

// ---------------------------------------------------------------- address

/** The button that was pressed, and is busy while its sign-in starts. */
let pressed = $("address-submit");

function toAddress(error = "", focus = true): void {
  phase = "address";
  round++;
  clearTimeout(waiting);
  attempt = undefined;
  recognised = undefined;
  forget();
  $("address-waiting").hidden = true;
  busy(pressed, "");
  show("address");
  fault(identifierInput, error, false);
  if (focus) {
    focusAddress();
    if (!identifierInput.readOnly) identifierInput.select();
  }
}

/** Whether the form is of buttons alone. */
const nothingToType = config.kind === "nothing";

function focusAddress(): void {
  if (nothingToType) document.querySelector<HTMLElement>("#passkey-submit:not([hidden]), #providers a")?.focus();
  else identifierInput.focus();
}

$("address-form").onsubmit = (event) => {
  event.preventDefault();
  let by = event.submitter ?? $("address-submit");
  if (by.hidden) by = $("whatsapp-submit"); // Enter means the first button, seen or not
  if (phase === "address") chooseChannel(by.dataset.channel);
  submitAddress(by);
};

function submitAddress(by: HTMLElement = $("address-submit")): void {
  if (phase !== "address" || nothingToType) return;
  const entered = identifier.read();
  if (entered === undefined) return;
  const data = readFields();
  if (data === undefined) return;
  fault(identifierInput, "");
  pressed = by;
  address = entered;
  clientData = data;
  phase = "asking";
  busy(pressed, t("address.asking"));
  void (framed ? ask() : askKnownFirst());
}

/** Asks the site, which is told whether a code will be needed. */
async function ask(): Promise<void> {
  const mine = round;
  const back = await comeBack(attempts, config, address, request());
  if (mine !== round || phase !== "asking") return;
  recognised = back && { ...back, until: Date.now() + collectible };
  askSite();
}

/**
 * Tells the site who is here. Where it uses passkeys, it opens its window for who has one.
 * The SDK stays silent when the site's own function throws: then nobody waits for ever.
 */
function askSite(): void {
  parent?.send("ON_BEGIN", {
    identifier: address,
    identifier_type: config.kind.toUpperCase(),
    device_type: "BROWSER",
    device_name: navigator.userAgent,
    auth_required: !recognised,
    client_json: clientData,
  });
  waiting = setTimeout(() => {
    const text = t("address.slow", { site: host(config.domain) });
    if (phase === "window") {
      // Perhaps its window is open all the same: what comes of it counts still.
      noWindow(text);
      phase = "window";
    }
    if (phase !== "asking") return;
    ($("address-waiting").firstElementChild as HTMLElement).textContent = text;
    $("address-waiting").hidden = false;
    say(text);
  }, siteSlow);
}

/** How long a result waits for the site, in milliseconds. It lives five minutes. */
const collectible = 4 * 60_000;

/** Goes on as the site said: at once where this browser showed who is here, or else with a message. */
function proceed(): void {
  if (!recognised || Date.now() > recognised.until) return void start();
  const { granted } = recognised;
  clearTimeout(waiting);
  recognised = undefined;
  finish(granted);
}

$("address-cancel").onclick = () => {
  if (phase === "asking" || phase === "leaving") toAddress(t("address.stopped"));
};

// ---------------------------------------------------------------- a browser that is known

/** What is asked for, whichever way it is proved. */
function request(): Omit<StartRequest, "method"> {
  return {
    code_challenge: config.challenge,
    locale: config.locale,
    ...(config.redirectUrl && { redirect_url: config.redirectUrl }),
    ...(config.formId && { form_id: config.formId }),
    ...(config.userId && { user_id: config.userId }),
  };
}

/**
 * Asks whether to sign in as somebody whom this browser remembers, and where that leads:
 * whoever opened this page may be somebody else (security 5). go is called by the tap.
 */
function askKnown(who: string, go: () => void): void {
  phase = "known";
  busy(pressed, "");
  busy($("known-submit"), "");
  tInto($("known-account"), "remember.account", { address: who });
  nameDestination("known", !framed && !!config.redirectUrl);
  $("known-submit").onclick = () => {
    if (phase !== "known") return;
    busy($("known-submit"), t("remember.busy"));
    go();
  };
  turnTo("known");
}

$("known-other").onclick = () => {
  if (phase !== "known") return;
  toAddress();
  if (!framed) offer();
};

/** On a page of its own: signs in by a tap where the browser is known, or else by a message. */
async function askKnownFirst(): Promise<void> {
  const mine = round;
  const kept = await isKept(config, address);
  if (mine !== round || phase !== "asking") return;
  if (kept) askKnown(address, () => void enter());
  else void start();
}

async function enter(): Promise<void> {
  phase = "checking";
  const mine = round;
  const back = await comeBack(attempts, config, address, request());
  if (mine !== round) return;
  if (back) return finish(back.granted);
  show("address"); // it is not known any more: a message, as always
  void start();
}

// ---------------------------------------------------------------- a message

/** Asks for an attempt and with it for the message. */
async function start(): Promise<void> {
  phase = "starting";
  stopOffering();
  clearTimeout(waiting);
  $("address-waiting").hidden = true;
  const mine = ++round;
  const button = $("status-screen").hidden ? pressed : $("status-action");
  busy(button, t("address.busy"));
  const body: StartRequest = { ...request(), method: config.method, identifier: address };
  const channel = channelNow();
  if (channel) body.channel = channel;
  if (framed) body.origin = config.domain;
  if (config.method.endsWith("_link")) {
    // The result may come out elsewhere, and takes these along.
    body.redirect_link = config.linkReturns;
    body.client_data = clientData;
    if (config.state) body.state = config.state;
  }
  const live = (): boolean => mine === round;
  let captchas = 0;
  const ask = async (asked: StartRequest): Promise<StartResponse> => {
    show($("status-screen").hidden ? "address" : "status");
    busy(button, t("address.busy"));
    try {
      return await attempts.start({ ...asked, ...(body.captcha && { captcha: body.captcha }) });
    } catch (error) {
      const shown = error instanceof Problem && error.code === "captcha_required" && config.captcha;
      if (!shown || captchas++ === 3 || !live()) throw error;
      body.captcha = await askCaptcha();
      if (!live()) throw error;
      return ask(asked);
    }
  };
  try {
    if (captchaFirst) body.captcha = await askCaptcha();
    if (!live()) return;
    const started = await startSolving(ask, body, live, () => busy(button, t("address.puzzle")));
    if (!live()) return;
    secret = started.secret;
    remember(started.attempt.id, secret);
    return toCode(started.attempt);
  } catch (error) {
    if (mine !== round) return;
    refusedStart(error);
  }
}

function refusedStart(error: unknown): void {
  const p = problem(error);
  if (/^(origin_not_allowed|redirect_not_allowed|unknown_project)$/.test(p.code)) return unfinished(t("fault.refused"), {});
  toAddress(explained(p));
}

const texts: Record<string, string> = {
  challenge_required: "fault.puzzle",
  captcha_required: "fault.puzzle",
  captcha_failed: "fault.puzzle",
  captcha_stopped: "address.stopped",
  method_off: "fault.refused",
  redirect_too_long: "fault.refused",
};

/** What is said of a start or an answer that went wrong. */
function explained(p: Problem): string {
  return explain(p, { ...texts, ...identifier.faults });
}

// ---------------------------------------------------------------- what was sent

/** A result that leaves the browser is given out by a tap only, beside the name of the app (security 5). */
const needsTap = !framed && leavesBrowser(config.redirectUrl);

function nameDestination(screen: string, named = needsTap): void {
  const place = $(`${screen}-destination`);
  place.hidden = !named;
  if (named) tInto(place, "code.continue", { destination: host(config.redirectUrl) });
}

function toCode(a: Attempt): void {
  phase = "code";
  triedCode = "";
  attempt = a;
  countFor(a);
  nameResend(a.link ? t("link.resend") : t("code.resend"));
  const digits = expectCode(a);
  const titles = { email: "code.title.email", sms: "code.title.sms", whatsapp: "code.title.whatsapp" };
  $("code-title").textContent = t(titles[channelNow() ?? "email"]);
  if (a.link) showLink(a.link.digits, a.identifier, requestText);
  else {
    tInto($("code-sent"), digits ? "code.sent.digits" : "code.sent", { address: a.identifier }, { n: a.code?.length ?? 6 });
  }
  $("link-part").hidden = !a.link;
  $("code-form").hidden = !!a.link;
  $("code-hint").textContent = t(needsTap ? "code.hint.tap" : "code.hint");
  nameDestination("code");
  drawOther();
  busy(pressed, "");
  busy($("code-submit"), "");
  show("code");
  tick();
  say($("code-sent").textContent ?? "");
  (a.link ? $("code-title") : codeInput).focus();
  // The browser's Back leads from the code to the address. In a frame it is
  // the site's own and stays so.
  if (!framed && history.state !== "code") history.pushState("code", "");
  if (a.link) void watchLink(a.id);
}

/**
 * Waits for the link to do something: until the attempt is over, and once before, where
 * the link is switched off for others. In this browser it still works then.
 */
async function watchLink(id: string): Promise<void> {
  const mine = round;
  const here = (): boolean => mine === round && phase === "code";
  let off = false;
  await watch(sleep, () => mine === round && (phase === "code" || phase === "checking"), async () => {
    if (!here()) return undefined; // a code is being looked at, and may be wrong
    const a = await attempts.look(id, secret);
    if (!here()) return undefined;
    if (a.state === "open" && (off || a.link?.state === "open")) return undefined;
    off = true;
    await elsewhere(a);
    return a.state !== "open" || undefined;
  }).catch(() => {}); // it is unknown, or never was ours: the code's own end ends this too
}

/** The link did something, or does nothing any more. */
async function elsewhere(a: Attempt): Promise<void> {
  const mine = round;
  if (a.state === "open") {
    // Somebody said no to the link, or guessed at its digits. The code is as good as before.
    const text = a.link?.state === "refused" ? t("link.refused") : t("link.dead");
    enterCode();
    say(text);
    return fault(codeInput, text);
  }
  switch (a.state) {
    case "proved":
      try {
        const granted = await attempts.grant(a.id, secret);
        if (mine !== round || phase !== "code") return;
        await rememberIfWanted(a.identifier, { id: a.id, secret });
        if (mine !== round || phase !== "code") return;
        forget();
        if (!framed && granted.make_passkey) {
          phase = "checking";
          await offerToMake(attempts, { id: a.id, secret }, true, () => mine === round && show("offer"));
          if (mine !== round) return;
        }
        return finish(granted);
      } catch (error) {
        if (mine !== round || phase !== "code") return;
        if (isPassing(error)) throw error; // it is asked again
      }
      break;
    case "denied":
      return stop({ kind: "bad", title: requestText.titleError ?? t("denied.title"), text: requestText.subtitleError ?? t("denied.text"), ...again() });
    case "expired":
      return expired();
  }
  stop({ kind: "good", title: t("elsewhere.title"), text: t("elsewhere.text"), ...again() });
}

$("link-switch").onclick = enterCode;

/** Asks for the code that the message of a link has, too. */
function enterCode(): void {
  tInto($("code-sent"), "link.code", { address: attempt?.identifier ?? address });
  $("code-form").hidden = false;
  $("link-part").hidden = true;
  codeInput.focus();
}

codeInput.oninput = () => {
  findCode();
  if (typedCode() !== triedCode) fault(codeInput, "");
  if (!needsTap && codeIsWhole()) void submitCode();
};

$("code-form").onsubmit = (event) => {
  event.preventDefault();
  void submitCode(true);
};

async function submitCode(asked = false): Promise<void> {
  if (phase !== "code" || !attempt) return;
  const code = readCode();
  if (code === undefined) return;
  // The same wrong code again would only cost a try.
  if (code === triedCode) return asked ? fault(codeInput, triedFault) : undefined;
  phase = "checking";
  const mine = round;
  fault(codeInput, "");
  busy($("code-submit"), t("code.busy"));
  try {
    const granted = await attempts.answer(attempt.id, secret, { code });
    if (mine !== round) return;
    const proof = { id: attempt.id, secret };
    await rememberIfWanted(attempt.identifier, proof);
    if (mine !== round) return;
    if (framed) leaveProof(config.base, attempt.identifier, proof);
    forget();
    if (!framed) {
      await offerToMake(attempts, proof, granted.make_passkey === true, () => mine === round && show("offer"));
      if (mine !== round) return;
    }
    finish(granted);
  } catch (error) {
    if (mine !== round) return;
    phase = "code";
    busy($("code-submit"), "");
    refusedCode(problem(error), code);
  }
}

/** Remembers this browser, where the person said that it is their own. */
async function rememberIfWanted(who: string, proof: { id: string; secret: string }): Promise<void> {
  if ($<HTMLInputElement>("remember").checked) await rememberBrowser(attempts, config, who, proof);
}

function refusedCode(p: Problem, code: string): void {
  const held = heldBack(p);
  if (held) return hold(p, held, (button) => void beginRecovery(button, code));
  switch (p.code) {
    case "wrong_code":
      triedCode = code;
      triedFault = p.triesLeft === undefined ? t("code.wrong") : plural("code.wrong.tries", p.triesLeft);
      return fault(codeInput, triedFault);
    case "too_many_tries":
      return stop({ kind: "bad", title: t("tries.title"), text: t("tries.text"), ...again() });
    case "attempt_over":
    case "attempt_unknown":
      if (isOver()) return expired();
      return stop({ kind: "bad", title: t("over.title"), text: t("over.text"), ...again() });
    case "not_admitted":
    case "other_user":
      return unfinished(explained(p));
  }
  if (phase === "held" || phase === "window") return void ($("held-error").textContent = explained(p)); // of a recovery that did not begin
  fault(codeInput, explained(p));
}

/**
 * What was shown was right, and it takes the passkey, or another way. Who lost a passkey
 * that is required begins a recovery, by choice only.
 */
function hold(p: Problem, held: Held, begin: (button: HTMLElement) => void): void {
  const mayRecover = p.code === "recovery_offered";
  phase = "held";
  round++;
  clearTimeout(waiting);
  if (!mayRecover) forget();
  busy($("code-submit"), "");
  busy($("held-submit"), "");
  busy($("held-recover"), "");
  $("held-title").textContent = held.title;
  $("held-text").textContent = held.text;
  $("held-error").textContent = "";
  nameDestination("held");
  // In a frame the site has the window for passkeys, and wants to know whose.
  $("held-submit").hidden = !hasPasskeys || !(framed ? address : config.passkey);
  $("held-recover").hidden = !mayRecover;
  $("held-recover").onclick = () => begin($("held-recover"));
  turnTo("held");
}

$("held-submit").onclick = () => {
  if (!framed) return usePasskey({ attempts, body: request(), wanted: () => phase === "held", granted: byPasskey, unasked: false }, { button: "held-submit", error: "held-error" });
  if ($("held-submit").classList.contains("busy")) return;
  clearTimeout(waiting);
  phase = "window";
  $("held-error").textContent = "";
  busy($("held-submit"), t("address.asking"));
  askSite();
};

/** The site's window was closed without a passkey, or there is none. */
function noWindow(text: string): void {
  phase = "held";
  busy($("held-submit"), "");
  $("held-error").textContent = text || t("recovery.window");
}

$("held-other").onclick = () => {
  if (phase !== "held" && phase !== "window") return;
  stopOffering();
  toAddress();
};

async function beginRecovery(button: HTMLElement, code: string): Promise<void> {
  if (!attempt || button.classList.contains("busy")) return;
  stopOffering();
  const mine = round;
  busy(button, t("recovery.begin.busy"));
  try {
    const granted = await attempts.answer(attempt.id, secret, { code, recover: true });
    if (mine === round) finish(granted); // the passkey is required no more
  } catch (error) {
    if (mine !== round) return;
    busy(button, "");
    refusedCode(problem(error), code);
  }
}

$("code-change").onclick = () => {
  if (phase !== "code") return;
  if (history.state === "code") history.back(); // popstate shows the address
  else toAddress();
};

$("code-resend").onclick = () => void resend();
$("code-other").onclick = () => void resend($("code-other").dataset.channel);

/** Offers the message over the channel that it did not go over. */
function drawOther(): void {
  const [other] = channelsLeft();
  $("code-other").hidden = !other;
  if (!other) return;
  $("code-other").dataset.channel = other;
  $("code-other").textContent = t(other === "sms" ? "code.other.sms" : "code.other.whatsapp");
}

async function resend(channel?: string): Promise<void> {
  if (phase !== "code" || !attempt || !mayResend()) return;
  resendRuns(true);
  const mine = round;
  tick();
  try {
    const a = await attempts.resend(attempt.id, secret, channel);
    if (mine !== round) return;
    if (channel) chooseChannel(channel);
    attempt = { ...attempt, ...a };
    countFor(attempt);
    drawOther();
    say("");
    const done = attempt.link ? t("link.resend.done") : t("code.resend.done");
    requestAnimationFrame(() => say(done));
    notice(done);
    if (!$("code-form").hidden) codeInput.focus();
  } catch (error) {
    if (mine !== round) return;
    const p = problem(error);
    resendRuns(true, p.retryAfter);
    if (p.code === "attempt_over" || p.code === "attempt_unknown" || p.code === "too_many_tries") return refusedCode(p, "");
    say("");
    if ($("code-form").hidden) return notice(explained(p));
    fault(codeInput, explained(p), false);
    codeInput.removeAttribute("aria-invalid"); // the code is not what was wrong
  } finally {
    resendRuns(false);
    tick();
  }
}

function tick(): void {
  if (phase !== "code" && phase !== "checking") return;
  drawAgain();
  if (phase === "code" && isOver()) expired();
}

setInterval(tick, 500);

function expired(): void {
  const to = attempt?.identifier ?? address;
  const link = attempt?.link !== undefined;
  address = to;
  stop({
    kind: "bad",
    title: link ? t("expired.link.title") : t("expired.title"),
    text: (element) => tInto(element, link ? "expired.link.text" : "expired.text", { address: to }),
    action: { label: link ? t("expired.link.action") : t("expired.action"), run: () => phase === "stopped" && void start() },
    ...back("expired"),
  });
}

// ---------------------------------------------------------------- the end

/** Hands the result to whoever asked for it. */
function finish({ authorization_code: code, challenge_id: challengeId }: SignInGrant): void {
  if (!framed) return leave({ code, state: config.state, challenge_id: String(challengeId), ...(config.issuer && { iss: config.issuer }) });
  phase = "finishing";
  const mine = round;
  status({ kind: "wait", title: t("finishing.title"), text: t("finishing.text") });
  parent?.send("ON_SUBMIT_AUTHORIZATION_CODE", {
    authorization_code: code,
    challenge_id: challengeId,
    state: config.state,
    client_json: clientData,
  });
  waiting = setTimeout(() => {
    if (mine === round && phase === "finishing") unfinished(t("unfinished.slow"));
  }, siteGone);
}

/** Who came with a passkey sees first whether somebody is getting in without it. */
async function byPasskey(granted: SignInGrant): Promise<void> {
  const mine = ++round;
  phase = "checking";
  if (granted.recovery) await showRecovery(granted.recovery);
  if (mine === round) finish(granted);
}

function unfinished(text: string, way = again()): void {
  stop({ kind: "bad", title: t("unfinished.title"), text, ...way });
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
  clearTimeout(waiting);
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

// ---------------------------------------------------------------- the framing page

let configured = false;

/** Each message is taken in the phase it belongs to, and at most once there. */
function receive(message: FromSDK): void {
  // Before finishing: the site signed in with a passkey instead.
  const awaited = phase === "finishing" || phase === "asking" || phase === "window";
  switch (message.action) {
    case "CONFIG":
      if (configured) return;
      configured = true;
      configure(completed(message.config, config.extra));
      parent?.send("LOADED");
      if (message.config.skip) skipAddress(message.config);
      return;
    case "HANDLE_MAGIC_LINK_REDIRECT":
      // It comes before CONFIG, so once at most.
      if (!configured && phase === "address") takeLink(message.link);
      return;
    case "CONTINUE_SUBMIT":
      // The SDK echoes what it was told; for another address it means nothing.
      if (message.identifier !== undefined && message.identifier !== address) return;
      if (phase === "asking") proceed();
      if (phase === "window") noWindow("");
      return;
    case "ON_ERROR":
      if (phase === "asking") toAddress(message.message || t("fault.not_admitted"));
      if (phase === "window") noWindow(message.message);
      return;
    case "DONE_SUCCESS":
      if (awaited) succeeded();
      return;
    case "DONE_ERROR":
      if (awaited) unfinished(message.message ? t("unfinished.said", { message: message.message }) : t("unfinished.text"));
  }
}

function configure(c: SDKConfig): void {
  document.documentElement.classList.add("ready");
  if (c.buttonText) rename($("address-submit"), c.buttonText);
  configureChannels(c);
  identifier.configure(c);
  addFields(c.fields);
  captchaFirst = c.captcha && config.captcha;
  requestText = c.requestText;
  showLegal(c.terms, c.privacy);
  showProviders(c.providers, (provider, button) => {
    if (phase !== "address") return;
    phase = "leaving";
    pressed = button;
    busy(button, t("address.asking"));
    parent?.send("ON_SOCIAL_LOGIN_REQUEST", { provider });
    waiting = setTimeout(() => toAddress(t("social.slow", { provider: label(button).dataset.idle ?? provider })), siteSlow);
  });
  if (phase === "address") {
    if (c.initialValue) identifier.fill(c.initialValue);
    identifier.fix(c.fixed);
  }
  dress(c.styles);
  dressForm(c);
}

/** The site gave the address itself, so its field is skipped. A link asks for a tap all the same. */
function skipAddress(c: SDKConfig): void {
  identifier.fix(true);
  const { initialValue } = c;
  if (config.method.endsWith("_link") || !initialValue) return;
  // Nobody pressed anything yet: what a known browser does, it does by a tap.
  void isKept(config, initialValue).then((kept) => {
    if (phase !== "address") return;
    if (!kept) return submitAddress();
    askKnown(initialValue, () => {
      phase = "address";
      show("address");
      submitAddress();
    });
  });
}

/** A link was opened on the site's page, which handed it on. */
function takeLink(link: OpenedLink | undefined): void {
  if (!link || !config.method.endsWith("_link")) return stop({ kind: "bad", title: t("over.title"), text: t("over.text"), ...again() });
  phase = "bearing";
  round++;
  const restart = { label: t("action.restart"), run: () => toAddress() };
  $("held-other").textContent = restart.label;
  bearHere(link, { again: { action: restart }, held: hold }, (granted) => {
    if (phase !== "bearing" && phase !== "held") return;
    clientData = (granted.client_data ?? {}) as ClientData;
    finish(granted);
  });
}

const parent = framed ? new Parent(config.domain, config.messageId, receive) : undefined;

// ---------------------------------------------------------------- reload and Back

async function resume(): Promise<boolean> {
  const kept = recall();
  if (!kept) return false;
  const mine = round;
  try {
    const a = await attempts.look(kept.id, kept.secret);
    if (a.state !== "open" || mine !== round || phase !== "address") return false;
    secret = kept.secret;
    address = a.identifier;
    identifier.fill(a.identifier);
    toCode(a);
    return true;
  } catch {
    return false;
  }
}

addEventListener("popstate", () => {
  if (phase === "code" || phase === "checking" || phase === "held") toAddress();
});

// A page taken from the back-forward cache after it handed out its result
// starts over.
addEventListener("pageshow", (event) => {
  if (event.persisted && (phase === "done" || phase === "finishing" || phase === "leaving")) toAddress();
});

async function open(): Promise<void> {
  if (framed) {
    // The server refuses this too where the browser tells it; old ones do not.
    if (window.parent === window) return stop({ kind: "bad", title: t("unframed.title"), text: t("unframed.text") });
    return parent?.send("FIRST_LOAD");
  }
  if (history.state === "code") history.replaceState(null, "");
  configureChannels();
  if (config.input && !identifierInput.value) identifier.fill(config.input);
  if (await resume()) return;
  const known = await knownHere();
  if (phase !== "address") return;
  if (known) {
    address = known;
    identifier.fill(known);
    return askKnown(known, () => void enter());
  }
  offer();
  // A link is sent by a tap only: nobody should find one in their mail that
  // another page asked for while they looked away.
  if (config.directLogin && config.input && !config.method.endsWith("_link")) return submitAddress();
  if (phase === "address" && !nothingToType) identifierInput.focus();
}

/** Whom this browser remembers and this page asks for; undefined: nobody. */
async function knownHere(): Promise<string | undefined> {
  if (nothingToType) return undefined;
  if (config.input) return (await isKept(config, config.input)) ? config.input : undefined;
  return lastKept(config, (who) => who.includes("@") === (config.kind === "email"));
}

let offered = false;

/** Offers passkeys beside the field of the address. */
function offer(): void {
  if (offered || !config.passkey) return;
  offered = true;
  if (!hasPasskeys) {
    $("divider").hidden = nothingToType; // nothing stands above it
    if (nothingToType) $("passkey-error").textContent = t("passkey.none");
    return;
  }
  void offerPasskeys({ attempts, body: request(), wanted: () => phase === "address", granted: byPasskey, unasked: !needsTap && !nothingToType });
}

/** Gives the button of passkeys its place before anything is waited for: nothing moves under a finger. */
function makeRoom(): void {
  if (!config.passkey || !hasPasskeys) return;
  nameDestination("passkey");
  $("passkey-submit").hidden = false;
}

/** Sets the form going. It is called once, when the page is there. */
export function begin(field: IdentifierField): void {
  identifier = field;
  if (remembers(config)) {
    $("remember-text").textContent = plural("remember.box", config.rememberDays);
    $("remember-row").hidden = false;
  }
  makeRoom();
  void open();
}
