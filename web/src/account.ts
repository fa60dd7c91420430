// The page about an account: how the person signs in, and where they are signed in.
// It is an app like any other: it signs in by the sign-in page, keeps its session by
// the library, and knows nothing but what /v1 tells that session.
//
//   (sign-in page) ─▶ account ─▶ remove ─┐
//                        ▲               ├─▶ confirm ─▶ code
//                        └── add ────────┘   where the last proof is too old

import type { Attempt } from "../../sdk/src/attempt";
import { call } from "../../sdk/src/call";
import type { Credential, Session, StartResponse, User } from "../../sdk/src/shapes";
import { Splitpin } from "../../sdk/src/splitpin";
import { codeInput, codeIsWhole, expectCode, findCode, readCode, typedCode } from "./codefield";
import { explain, problem } from "./explain";
import { $, config as page } from "./page";
import { busy, fault, label, say, show, status, turnTo } from "./screens";
import { ago, plural, t, tInto } from "./text";

interface Config {
  here: string; // address of this page
  project: string;
  issuer: string;
  locale: string;
  methods: string[];
  site: string; // at which passkeys are made here; empty: none are
  providers: Record<string, string>; // what people call them
  forgets: boolean; // the session ends with the page
}

const config = page as unknown as Config;
const auth = new Splitpin({ server: location.origin, project: config.project, issuer: config.issuer, storage: config.forgets ? "memory" : "local" });
if (config.forgets) {
  addEventListener("pagehide", () => void auth.logOut().catch(() => undefined));
}
addEventListener("pageshow", (event) => event.persisted && location.reload()); // by the button Back

let user: User;
let credentials: Credential[] = [];
let passkeys = false; // this browser can use them here

// ---------------------------------------------------------------- coming and going

async function open(): Promise<void> {
  status({ kind: "wait", title: t("account.loading"), text: "" });
  const refused = comeBack();
  try {
    if ((await auth.handleRedirect()) ?? (await auth.current())) {
      await load();
      $("ways-error").textContent = refused;
      return;
    }
  } catch (error) {
    return stopped(error);
  }
  await signIn(true);
}

/** Shows what the server knows now. */
async function load(): Promise<void> {
  const [who, ways, sessions, support] = await Promise.all([auth.user(), auth.credentials(), auth.sessions(), auth.passkeySupport()]);
  user = who;
  passkeys = support.passkeys && config.site !== "" && config.methods.includes("passkey");
  tInto($("account-who"), "account.who", { address: user.identifier });
  drawWays(ways);
  drawSessions(sessions);
  turnTo("account");
}

async function signIn(replace: boolean): Promise<void> {
  try {
    await auth.signIn({ redirectUrl: config.here, replace });
  } catch (error) {
    stopped(error);
  }
}

function loggedOut(text = ""): void {
  status({ kind: text ? "bad" : "good", title: t("account.out.title"), text: text || t("account.out.text"), action: { label: t("account.out.submit"), run: () => void signIn(false) } });
}

/** Says why nothing can be shown, and what to do. */
function stopped(error: unknown): void {
  const p = problem(error);
  if (/^(signed_out|unauthenticated)$/.test(p.code)) return loggedOut();
  if (/^(not_ours|wrong_issuer|grant_invalid|storage_off)$/.test(p.code)) return loggedOut(t("account.out.elsewhere"));
  if (p.status === 0 && /^(access_denied|expired|provider_\w+)$/.test(p.code)) return loggedOut(t("account.out.unfinished"));
  status({ kind: "bad", title: t("account.broken.title"), text: explain(p, texts), action: { label: t("account.broken.action"), run: () => location.reload() } });
}

$("log-out").addEventListener("click", () => {
  loggedOut();
  auth.logOut().catch(() => undefined); // the server ends it when it was idle for long enough
});

// Another tab logged out, or somebody else signed in there.
auth.onChange((now) => {
  if (!now) loggedOut();
  else if (user && now.user.id !== user.id) void load().catch(stopped);
});

// ---------------------------------------------------------------- what went wrong

const texts: Record<string, string> = {
  passkey_cancelled: "account.add.stopped",
  passkey_registered: "account.add.another",
  passkey_required: "recovery.passkey",
  passkey_site: "passkey.site",
  passkey_unsupported: "account.add.stopped",
  too_many_passkeys: "passkey.many",
  too_many_tries: "tries.text",
  attempt_over: "over.text",
  attempt_unknown: "over.text",
  wrong_answer: "passkey.failed",
};

/** Runs what a button does. What goes wrong is said below it, but for the end of the session. */
async function run(button: HTMLElement, error: HTMLElement, work: () => Promise<void>): Promise<void> {
  if (button.classList.contains("busy")) return;
  error.textContent = "";
  busy(button, t("account.loading"));
  try {
    await work();
  } catch (e) {
    const p = problem(e);
    if (/^(signed_out|unauthenticated)$/.test(p.code)) return stopped(p);
    error.textContent = explain(p, texts);
  } finally {
    busy(button, "");
  }
}

// ---------------------------------------------------------------- lists

type Child = Node | string;

function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, ...children: Child[]): HTMLElementTagNameMap[K] {
  const e = document.createElement(tag);
  e.className = className;
  e.append(...children);
  return e;
}

/** A button in a list says to those who hear it what it is about. */
function action(text: string, spoken: string, act: () => void): HTMLButtonElement {
  const b = make("button", "quiet", text);
  b.type = "button";
  b.setAttribute("aria-label", spoken);
  b.addEventListener("click", act);
  return b;
}

function entry(name: string, tag: string, more: string[], ...actions: HTMLElement[]): HTMLLIElement {
  const title = make("p", "entry_name", make("bdi", "", name), ...(tag ? [make("span", "tag", tag)] : []));
  const text = make("div", "entry_text", title, ...more.map((line) => make("p", "entry_more", line)));
  return make("li", "entry", text, ...(actions.length ? [make("div", "entry_actions", ...actions)] : []));
}

function day(time: string): string {
  return new Intl.DateTimeFormat(config.locale, { dateStyle: "medium" }).format(new Date(time));
}

// moment is more than a day: who has two browsers of a kind tells them apart by it.
function moment(time: string): string {
  return new Intl.DateTimeFormat(config.locale, { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

function since(time: string): string {
  return ago((Date.now() - Date.parse(time)) / 1000, t("account.now"));
}

function kindOf(c: Credential): string {
  if (c.kind === "browser") return t("account.browser");
  if (c.kind === "recovery") return t(c.used_at ? "account.recovery.used" : "account.recovery");
  if (c.kind === "social") {
    const provider = config.providers[c.provider ?? ""] ?? c.provider;
    return provider ? t("account.social.at", { provider }) : t("account.social");
  }
  return t(c.facts?.includes("synced") ? "account.passkey.synced" : c.facts?.includes("single_device") ? "account.passkey.single" : "account.passkey");
}

function nameOf(c: Credential): string {
  if (c.kind === "recovery") return t("account.recovery.name");
  return c.label || c.device || t(c.kind === "browser" ? "account.browser" : c.kind === "social" ? "account.social" : "account.passkey");
}

function drawWays(all: Credential[]): void {
  credentials = all;
  const method = byMessage();
  $("ways").replaceChildren(
    ...(method ? [entry(user.identifier, "", [t(user.kind === "phone" ? "account.address.phone" : "account.address.email")])] : []),
    ...all.map(way),
  );
  $("ways-none").hidden = !passkeys || all.some((c) => c.kind === "passkey");
  $("add-passkey").hidden = !passkeys;
  // A session that ends with the page would not be there any more on the way back.
  const offered = config.methods.includes("social") && !config.forgets ? Object.entries(config.providers) : [];
  $("connect").replaceChildren(...offered.filter(([name]) => !all.some((c) => c.provider === name)).map(([name, provider]) => {
    const b = make("button", "button_container plain", make("span", "spinner"), make("span", "button_text", t("account.connect", { provider })));
    b.type = "button";
    b.addEventListener("click", () => connect(name, b));
    return b;
  }));
}

/** One way to sign in, which can be renamed and removed. */
function way(c: Credential): HTMLLIElement {
  const name = nameOf(c);
  const used = c.used_at ? t("account.used", { when: since(c.used_at) }) : t("account.unused");
  const rename = action(t("account.rename"), t("account.rename.this", { name }), () => renaming(item, c));
  const remove = action(t("account.remove"), t("account.remove.this", { name }), () => removing(c));
  if (c.kind === "recovery") {
    const asked = entry(name, "", [t("account.recovery.begun", { when: day(c.created_at), device: c.device ?? t("recovery.seen.device") })], remove);
    asked.firstElementChild!.append(make("p", "entry_warning", kindOf(c)));
    asked.dataset.id = c.id;
    return asked;
  }
  const item = entry(name, "", [kindOf(c), `${t("account.made", { when: day(c.created_at) })}, ${used}`], rename, remove);
  if (c.kind !== "social" && c.site && c.site !== config.site) {
    const site = make("p", "entry_more");
    tInto(site, "account.passkey.site", { site: c.site });
    item.querySelector(".entry_more")!.after(site);
  }
  if (c.facts?.includes("counter_went_back")) item.firstElementChild!.append(make("p", "entry_warning", t("account.passkey.copied")));
  item.dataset.id = c.id;
  return item;
}

/** Takes the person back to a button of an entry, or where there is none any more, to the list. */
function focusOn(list: string, id: string, n = 0): void {
  const item = [...$(list).children].find((e) => (e as HTMLElement).dataset.id === id);
  (item?.querySelectorAll<HTMLElement>(".entry_actions button")[n] ?? $(`${list}-title`)).focus();
}

// ---------------------------------------------------------------- another name

function renaming(item: HTMLLIElement, c: Credential): void {
  const field = make("input", "input_text");
  field.id = `name-${c.id}`;
  field.value = nameOf(c);
  field.maxLength = 64;
  field.setAttribute("aria-label", t("account.rename.label"));
  field.setAttribute("aria-describedby", `${field.id}-error`);
  const error = make("p", "error");
  error.id = `${field.id}-error`;
  error.setAttribute("role", "alert");
  const save = make("button", "button_container", make("span", "spinner"), make("span", "button_text", t("account.rename.submit")));
  const cancel = action(t("account.cancel"), t("account.cancel"), () => back());
  const form = make("form", "", make("div", "row", field, save, cancel), error);
  form.noValidate = true;
  const back = (): void => {
    drawWays(credentials);
    focusOn("ways", c.id);
  };
  form.addEventListener("keydown", (event) => event.key === "Escape" && back());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void run(save, error, async () => {
      try {
        drawWays(await auth.renameCredential(c.id, field.value));
      } catch (e) {
        if (problem(e).code !== "invalid_request") throw e;
        return fault(field, t("account.rename.long"));
      }
      focusOn("ways", c.id);
      done(t("account.rename.done"));
    });
  });
  item.replaceChildren(form);
  field.focus();
  field.select();
}

/** Tells those who listen what was done, after the button that did it is at rest. */
function done(text: string): void {
  requestAnimationFrame(() => say(text));
}

// ---------------------------------------------------------------- a new one

$("add-passkey").addEventListener("click", () => {
  const button = $("add-passkey");
  void run(button, $("ways-error"), async () => {
    const added = await proved(() => auth.addPasskey(), () => (show("account"), button.focus()));
    if (added === undefined) return;
    drawWays(await auth.credentials());
    focusOn("ways", added);
    done(t("account.add.done"));
  });
});

// ---------------------------------------------------------------- an account elsewhere

/** Marks what comes back without a result. A sign-in has a random text there. */
const connecting = "connect";

/** Leaves for a provider; the pages on the way back ask the person before anything is connected. */
function connect(provider: string, button: HTMLElement): void {
  void run(button, $("ways-error"), async () => {
    const started = await proved(async () => {
      const token = await auth.accessToken();
      const body = { method: "social", purpose: "enrol", provider, redirect_url: config.here, state: connecting };
      return call<StartResponse>({ base: `/p/${encodeURIComponent(config.project)}/v1` }, "POST", "/attempts", body, { Authorization: `Bearer ${token}` });
    }, () => show("account"));
    if (started?.attempt.location) location.assign(started.attempt.location);
  });
}

/** What to say to somebody who comes back from there with nothing. Empty: nobody does. */
function comeBack(): string {
  const q = new URLSearchParams(location.search);
  if (q.get("state") !== connecting || !q.has("error")) return "";
  history.replaceState(null, "", config.here);
  return t(q.get("error") === "credential_taken" ? "account.connect.taken" : "account.connect.stopped");
}

// ---------------------------------------------------------------- one less

let removed: Credential | undefined;

function removing(c: Credential): void {
  removed = c;
  tInto($("remove-title"), "account.remove.title", { name: nameOf(c) });
  const texts = { passkey: "account.remove.passkey", social: "account.remove.social", browser: "account.remove.browser", recovery: "account.remove.recovery" };
  $("remove-text").textContent = t(texts[c.kind]);
  $("remove-error").textContent = "";
  turnTo("remove");
}

$("remove-cancel").addEventListener("click", () => {
  show("account");
  if (removed) focusOn("ways", removed.id, 1);
});

$("remove-submit").addEventListener("click", () => {
  const c = removed;
  if (!c) return;
  void run($("remove-submit"), $("remove-error"), async () => {
    try {
      const left = await proved(() => auth.removeCredential(c.id), () => (show("remove"), $("remove-submit").focus()));
      if (left === undefined) return;
      drawWays(left);
    } catch (error) {
      if (problem(error).code === "last_credential") return replaceFirst(c);
      if (problem(error).code !== "not_found") throw error;
      drawWays(await auth.credentials()); // another tab was quicker
    }
    drawSessions(await auth.sessions());
    show("account");
    $("ways-title").focus();
    done(t("account.remove.done"));
  });
});

/** The last way in stays until there is another: says so where one is added. */
function replaceFirst(c: Credential): void {
  show("account");
  tInto($("ways-error"), "account.remove.last", { name: nameOf(c) });
  (passkeys ? $("add-passkey") : $("ways-title")).focus();
}

// ---------------------------------------------------------------- first, is it you?

/** Ends the asking: true, the person is there; false, the person left it. */
let decide: ((is: boolean) => void) | undefined;
let attempt: Attempt | undefined;
let tried = "";

/**
 * Does what needs a proof of the last minutes, and asks for one first where it must.
 * back shows the screen that asked. Undefined: the person changed their mind.
 */
async function proved<T>(work: () => Promise<T>, back: () => void): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (problem(error).code !== "proof_too_old") throw error;
  }
  const is = await asked();
  back();
  return is ? work() : undefined;
}

function asked(): Promise<boolean> {
  const usable = passkeys && credentials.some((c) => c.kind === "passkey" && c.site === config.site);
  $("confirm-error").textContent = "";
  $("confirm-passkey").hidden = !usable;
  $("confirm-code").hidden = !byMessage();
  $("confirm-code").classList.toggle("plain", usable);
  tInto(label($("confirm-code")), "account.confirm.code", { address: user.identifier });
  turnTo("confirm");
  return new Promise((resolve) => (decide = resolve));
}

/** The method that sends this person a code, if the project has it. */
function byMessage(): string | undefined {
  const method = { email: "email_code", phone: "sms_code", other: "" }[user.kind];
  return user.proved && config.methods.includes(method) ? method : undefined;
}

$("confirm-passkey").addEventListener("click", () =>
  void run($("confirm-passkey"), $("confirm-error"), async () => {
    await auth.confirmWithPasskey();
    decide?.(true);
  }));

$("confirm-code").addEventListener("click", () =>
  void run($("confirm-code"), $("confirm-error"), async () => {
    attempt = await auth.confirm({ identifier: user.identifier, method: byMessage()!, locale: config.locale });
    tried = "";
    const digits = expectCode(attempt.told);
    tInto($("code-sent"), digits ? "code.sent.digits" : "code.sent", { address: user.identifier }, { n: attempt.told.code?.length ?? 6 });
    show("code");
    codeInput.focus();
  }));

for (const id of ["confirm-cancel", "code-cancel"]) $(id).addEventListener("click", () => decide?.(false));

// By whatever way the person has: the sign-in page offers them all.
$("confirm-again").addEventListener("click", () => {
  auth.logOut().catch(() => undefined).then(() => signIn(false));
});

$("code-again").addEventListener("click", () => {
  if (!attempt) return;
  attempt.resend().then(
    () => done(t("code.resend.done")),
    (error: unknown) => fault(codeInput, explain(problem(error), texts), false),
  );
});

codeInput.addEventListener("input", () => {
  findCode();
  if (typedCode() !== tried) fault(codeInput, "");
  if (codeIsWhole()) void answer();
});

$("code-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void answer();
});

async function answer(): Promise<void> {
  const button = $("code-submit");
  const code = readCode();
  // The same wrong code again would only cost a try.
  if (!attempt || code === undefined || code === tried || button.classList.contains("busy")) return;
  busy(button, t("code.busy"));
  try {
    await attempt.answer(code);
    decide?.(true);
  } catch (error) {
    const p = problem(error);
    if (p.code === "wrong_code") {
      tried = code;
      fault(codeInput, p.triesLeft === undefined ? t("code.wrong") : plural("code.wrong.tries", p.triesLeft));
    } else if (/^(too_many_tries|attempt_over|attempt_unknown)$/.test(p.code)) {
      show("confirm");
      $("confirm-error").textContent = explain(p, texts);
    } else if (p.code === "passkey_required") {
      // Another code would be refused as well. Who lost the passkey signs in again, and is offered a recovery there.
      show("confirm");
      $("confirm-code").hidden = true;
      $("confirm-error").textContent = t("account.confirm.passkey");
      ($("confirm-passkey").hidden ? $("confirm-again") : $("confirm-passkey")).focus();
    } else {
      fault(codeInput, explain(p, texts));
    }
  } finally {
    busy(button, "");
  }
}

// ---------------------------------------------------------------- sessions

function drawSessions(all: Session[]): void {
  $("sessions").replaceChildren(...all.map(session));
  $("end-others").hidden = all.length < 2;
}

function session(s: Session): HTMLLIElement {
  const name = s.device || t("account.session");
  const more = `${t("account.session.since", { when: moment(s.created_at) })}, ${t("account.used", { when: since(s.used_at) })}`;
  const end = action(t("account.end"), t("account.end.this", { name }), () => void ending(s));
  const item = entry(name, s.current ? t("account.session.this") : "", [more], ...(s.current ? [] : [end]));
  item.dataset.id = s.id;
  return item;
}

async function ending(s: Session): Promise<void> {
  const error = $("sessions-error");
  error.textContent = "";
  try {
    await auth.endSession(s.id).catch((e: unknown) => {
      if (problem(e).code !== "not_found") throw e; // it ended meanwhile
    });
    drawSessions(await auth.sessions());
    $("sessions-title").focus();
    done(t("account.end.done"));
  } catch (e) {
    const p = problem(e);
    if (/^(signed_out|unauthenticated)$/.test(p.code)) return stopped(p);
    error.textContent = explain(p, texts);
  }
}

$("end-others").addEventListener("click", () =>
  void run($("end-others"), $("sessions-error"), async () => {
    await auth.endOtherSessions();
    drawSessions(await auth.sessions());
    $("sessions-title").focus();
    done(t("account.end.others.done"));
  }));

void open();
