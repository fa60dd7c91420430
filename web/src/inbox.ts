// The inbox of development: asks for the messages again and again and shows
// them. The mails come from the program itself, and are treated as strangers'
// all the same: texts as texts, HTML in a sandbox without scripts.

import { ago, plural, t, useTexts } from "./text";

interface Message {
  id: string;
  to: string;
  channel: string;
  subject: string;
  text: string;
  html: string;
  code: string;
  link: string;
  at: string;
  history?: string[]; // of its link
}

interface Config {
  api: string;
  locale: string;
  text: Record<string, string>;
}

const $ = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

const config = JSON.parse($("config").textContent ?? "") as Config;
useTexts(config.text, config.locale);
const token = new URLSearchParams(location.search).get("token") ?? "";

let messages: Message[] = [];
let chosen = ""; // id of the message that is open
let loaded = false;
let denied = false; // for good: a token belongs to one run of the server

/** How often to ask while the page is looked at, in milliseconds. */
const pace = 1500;

// The one Trusted Types policy of this page. What it lets through goes into
// the sandboxed frame and nowhere else.
interface Policy {
  createHTML(html: string): string;
}
const factory = (window as unknown as { trustedTypes?: { createPolicy(name: string, rules: Policy): Policy } }).trustedTypes;
const rules: Policy = { createHTML: (html) => html };
const mail = factory ? factory.createPolicy("inbox", rules) : rules;

async function load(): Promise<void> {
  try {
    const response = await fetch(config.api, {
      headers: { "Inbox-Token": token, Accept: "application/json" },
      cache: "no-store",
      referrerPolicy: "no-referrer",
    });
    if (response.status === 401 || response.status === 403) return deny();
    if (!response.ok) return offline(t("inbox.paused"));
    const list = (await response.json()) as Message[];
    list.sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || Number(b.id) - Number(a.id) || 0);
    $("lead").hidden = false;
    $("state").textContent = t("inbox.live");
    $("state").className = "link_state live";
    take(list);
  } catch {
    offline(t("inbox.paused"));
  }
}

function offline(text: string): void {
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = "link_state";
}

function deny(): void {
  denied = true;
  offline("");
  for (const id of ["lead", "empty", "list", "message", "choose"]) $(id).hidden = true;
  $("denied").hidden = false;
}

function take(list: Message[]): void {
  const known = new Set(messages.map((m) => m.id));
  const fresh = list.filter((m) => !known.has(m.id));
  const changed = fresh.length > 0 || list.length !== messages.length || !loaded;
  messages = list;
  if (changed) draw(loaded ? new Set(fresh.map((m) => m.id)) : new Set());
  if (loaded && fresh.length > 0) $("live").textContent = plural("inbox.new", fresh.length);
  // On a wide screen the newest message is open at once: its code is what
  // somebody is waiting for. A message that is being read is left alone.
  const newest = list[0];
  const reading = $("message").contains(document.activeElement);
  if (newest && wide() && (!chosen || (fresh.length > 0 && !reading))) open(newest.id, false);
  loaded = true;
  layout();
  history();
  times();
}

/** Shows what became of the link of the message that is open, which goes on while it is. */
function history(): void {
  const lines = messages.find((m) => m.id === chosen)?.history ?? [];
  const list = $("history");
  list.hidden = !lines.length;
  if ([...list.children].map((e) => e.textContent).join("\n") === lines.join("\n")) return;
  list.replaceChildren(...lines.map((line) => element("li", "", line)));
}

function wide(): boolean {
  return matchMedia("(min-width: 800px)").matches;
}

function layout(): void {
  const any = messages.length > 0;
  const current = messages.some((m) => m.id === chosen);
  if (!current) chosen = "";
  $("empty").hidden = any;
  $("list").hidden = !any;
  $("message").hidden = !current;
  $("choose").hidden = !any || current;
  $("inbox").classList.toggle("reading", current);
}

function element(name: string, className: string, text = ""): HTMLElement {
  const e = document.createElement(name);
  e.className = className;
  e.textContent = text;
  return e;
}

function draw(fresh: Set<string>): void {
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.id : undefined;
  $("items").replaceChildren(
    ...messages.map((m) => {
      const item = document.createElement("li");
      const button = element("button", "item") as HTMLButtonElement;
      button.type = "button";
      button.dataset.id = m.id;
      if (m.id === chosen) button.setAttribute("aria-current", "true");
      if (fresh.has(m.id)) button.classList.add("fresh");
      const top = element("span", "item_top");
      const to = element("bdi", "item_to", m.to);
      const when = element("time", "item_when");
      (when as HTMLTimeElement).dateTime = m.at;
      top.append(to, when);
      const bottom = element("span", "item_bottom");
      const subject = element("span", "item_subject", m.subject || m.text.slice(0, 80));
      subject.dir = "auto";
      bottom.append(subject, element("span", "tag", m.channel));
      button.append(top, bottom);
      button.addEventListener("click", () => open(m.id, true));
      item.append(button);
      return item;
    }),
  );
  if (focused) ($("items").querySelector(`[data-id="${CSS.escape(focused)}"]`) as HTMLElement | null)?.focus();
}

function open(id: string, byHand: boolean): void {
  const m = messages.find((x) => x.id === id);
  if (!m) return;
  if (id !== chosen) {
    chosen = id;
    for (const b of document.querySelectorAll<HTMLElement>(".item")) {
      if (b.dataset.id === id) b.setAttribute("aria-current", "true");
      else b.removeAttribute("aria-current");
    }
    $("subject").textContent = m.subject || m.channel;
    const when = element("time", "");
    (when as HTMLTimeElement).dateTime = m.at;
    $("meta").replaceChildren(`${t("inbox.to")} `, element("bdi", "meta_to", m.to), " · ", element("span", "tag", m.channel), " · ", when);
    const chips: HTMLElement[] = [];
    if (m.code) chips.push(codeChip(m.code));
    if (/^https?:\/\//i.test(m.link)) {
      const a = element("a", "button_container", "") as HTMLAnchorElement;
      a.append(element("span", "button_text", t("inbox.link")));
      a.href = m.link;
      a.target = "_blank";
      a.rel = "noopener noreferrer";
      chips.push(a);
    }
    $("chips").replaceChildren(...chips);
    $("text").textContent = m.text;
    ($("html") as HTMLIFrameElement).srcdoc = mail.createHTML(m.html) as string;
    $("tab-html").hidden = !m.html;
    tab(m.html ? "html" : "text");
    history();
    times();
  }
  layout();
  if (byHand) $("subject").focus();
}

function codeChip(code: string): HTMLElement {
  const button = element("button", "chip") as HTMLButtonElement;
  button.type = "button";
  const label = element("span", "chip_label", t("inbox.copy"));
  button.append(element("span", "hidden", `${t("inbox.code")} `), element("span", "chip_code", code), " ", label);
  button.addEventListener("click", () => {
    void copy(code, button).then(() => {
      label.textContent = t("inbox.copied");
      $("live").textContent = t("inbox.copied");
      setTimeout(() => (label.textContent = t("inbox.copy")), 2000);
    });
  });
  return button;
}

async function copy(text: string, near: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard without a secure context: select the code instead.
    const code = near.querySelector(".chip_code");
    if (code) getSelection()?.selectAllChildren(code);
  }
}

const tabs = ["html", "text"];

function tab(name: string): void {
  for (const n of tabs) {
    const on = n === name;
    $(`tab-${n}`).setAttribute("aria-selected", String(on));
    $(`tab-${n}`).tabIndex = on ? 0 : -1;
    $(`panel-${n}`).hidden = !on;
  }
}

for (const n of tabs) {
  $(`tab-${n}`).addEventListener("click", () => tab(n));
  $(`tab-${n}`).addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs.find((x) => x !== n && !$(`tab-${x}`).hidden);
    if (!other) return;
    event.preventDefault();
    tab(other);
    $(`tab-${other}`).focus();
  });
}

$("back").addEventListener("click", () => {
  const id = chosen;
  chosen = "";
  layout();
  const item = $("items").querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`);
  item?.removeAttribute("aria-current");
  item?.focus();
});

function times(): void {
  for (const e of document.querySelectorAll("time")) {
    const text = ago((Date.now() - Date.parse(e.dateTime)) / 1000, t("inbox.now"));
    if (e.textContent !== text) e.textContent = text;
  }
}

async function loop(): Promise<void> {
  if (!token) deny();
  while (!denied) {
    if (!document.hidden) await load();
    await new Promise((next) => setTimeout(next, pace));
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !denied) void load();
});
setInterval(times, 10_000);
void loop();
