// What the person sees and hears: which screen is shown, what is wrong with a
// field, which button works, and the screen that ends or interrupts a sign-in.

import { $ } from "./page";

export type Screen = "address" | "code" | "captcha" | "known" | "status" | "offer" | "held" | "recovery" | "bearer" | "refuse" | "disown" | "account" | "remove" | "confirm";

export function show(screen: Screen): void {
  for (const s of document.querySelectorAll<HTMLElement>(".screen")) s.hidden = s.id !== `${screen}-screen`;
}

/** Shows a screen and takes the person to its title, which those who listen hear. */
export function turnTo(screen: Screen): void {
  show(screen);
  $(`${screen}-title`).focus();
}

/** Tells those who listen to the page. */
export function say(text: string): void {
  $("live").textContent = text;
}

/** Shows an error under a field and takes the person there. An empty text clears it. */
export function fault(field: HTMLInputElement, text: string, focus = true): void {
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

/** The part of a button that holds its text. */
export function label(button: HTMLElement): HTMLElement {
  return button.querySelector(".button_text") as HTMLElement;
}

/** A busy button keeps its place and the focus; a second click does nothing. An empty text ends it. */
export function busy(button: HTMLElement, text: string): void {
  const l = label(button);
  l.dataset.idle ??= l.textContent ?? "";
  l.textContent = text || l.dataset.idle;
  button.setAttribute("aria-disabled", String(text !== ""));
  button.classList.toggle("busy", text !== "");
  say(text); // what is over is not said any longer
}

/** Gives a button its text, also while it is busy. */
export function rename(button: HTMLElement, text: string): void {
  const l = label(button);
  if (button.classList.contains("busy")) l.dataset.idle = text;
  else {
    l.textContent = text;
    delete l.dataset.idle;
  }
}

export interface Status {
  kind: "good" | "bad" | "wait";
  title: string;
  text: string | ((element: HTMLElement) => void);
  action?: { label: string; run: () => void; plain?: boolean };
  link?: { label: string; href: string };
}

export function status(s: Status): void {
  const screen = $("status-screen");
  screen.classList.remove("good", "bad", "wait");
  screen.classList.add(s.kind);
  $("status-title").textContent = s.title;
  if (typeof s.text === "string") $("status-text").textContent = s.text;
  else s.text($("status-text"));
  const button = $("status-action");
  button.hidden = !s.action;
  button.classList.toggle("plain", s.action?.plain === true);
  busy(button, "");
  rename(button, s.action?.label ?? "");
  button.onclick = () => s.action?.run();
  const link = $<HTMLAnchorElement>("status-link");
  link.hidden = !s.link;
  if (s.link) {
    link.textContent = s.link.label;
    link.href = s.link.href;
    link.rel = "noreferrer";
  }
  turnTo("status");
}
