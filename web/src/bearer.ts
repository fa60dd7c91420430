// The screen for whoever opened the link of a message: what it is for, and one tap
// that signs in. It stands on our landing page and in the form of a site to which
// links return. Nothing here happens by itself: programs open links too.

import { Links } from "../../sdk/src/link";
import type { SplitpinError as Problem } from "../../sdk/src/errors";
import type { Admitted, Link } from "../../sdk/src/shapes";
import { explain, problem } from "./explain";
import { $ } from "./page";
import { type Held, heldBack } from "./recovery";
import { busy, fault, rename, show, status, type Status, turnTo } from "./screens";
import { ago, breakable, plural, t } from "./text";
import { host } from "./destination";

type Way = "here" | "let_in" | "hand_over";

export interface Bearing {
  base: string;
  token: string;
  /** What a tap asks for; undefined: this place can do nothing with the link. */
  way(link: Link): Way | undefined;
  /** What goes with here. */
  own?: { code_challenge: string; redirect_url?: string; origin?: string; state?: string };
  done(admitted: Admitted, way: Way, link: Link): void;
  /** Leads back, where a link does nothing any more; absent: there is nowhere to go. */
  again?: Pick<Status, "action" | "link"> | undefined;
  /** Leads on, once what the message signed in has ended. */
  disowned?: Pick<Status, "link"> | undefined;
  /** Shows that a passkey is wanted, with a button to begin a recovery. */
  held(p: Problem, held: Held, begin: (button: HTMLElement) => void): void;
}

/** Asks what the link is for, and shows it. */
export async function bear(b: Bearing): Promise<void> {
  const links = new Links({ base: b.base });
  const digits = $<HTMLInputElement>("digits");
  let link: Link;
  try {
    link = await links.open(b.token);
  } catch (error) {
    return refused(b, error, () => void bear(b));
  }
  const way = b.way(link);
  const sure = link.same_browser || link.handed_over;
  const both = way !== "let_in" && link.may_let_in && !sure;
  if (link.signed_in) return asks(b, links, link);
  // It let this browser in: what that gave is given again, and nothing is decided.
  if (link.state === "proved") return void admit("let_in", "", $("status-action"));

  $("bearer-lead").textContent = t(
    !way ? "bearer.lead.none" : link.same_browser ? "bearer.lead.same" : link.handed_over ? "bearer.lead.handed" : "bearer.lead.digits",
  );
  $("bearer-account").replaceChildren(...breakable(link.account));
  $("bearer-asked").textContent = ago(link.asked_ago, t("bearer.asked.now"));
  $("bearer-device").textContent = [link.device, link.place].filter(Boolean).join(", ");
  $("bearer-device-row").hidden = !link.device && !link.place;
  const goes = link.continue ?? (way === "hand_over" ? link.site : undefined);
  $("bearer-goes").textContent = goes ? host(goes) : "";
  $("bearer-goes-row").hidden = !goes;
  $("bearer-form").hidden = !way;
  $("bearer-digits").hidden = sure;
  $("digits-hint").textContent = t(both || way === "let_in" ? "bearer.digits.hint.let_in" : "bearer.digits.hint");
  rename($("bearer-submit"), t(sure ? "bearer.yes" : way === "let_in" ? "bearer.let_in" : "bearer.here"));
  $("bearer-other").hidden = !both;
  show("bearer");
  (way && !sure ? digits : $("bearer-title")).focus();

  let running = false;
  $("bearer-form").onsubmit = (event) => {
    event.preventDefault();
    if (running || !way) return;
    const typed = digits.value.replace(/\D/g, "");
    if (!sure && typed.length !== 2) return fault(digits, t("bearer.digits.empty"));
    fault(digits, "");
    const button = event.submitter ?? $("bearer-submit");
    void admit(button.id === "bearer-other" ? "let_in" : way, typed, button);
  };
  digits.oninput = () => fault(digits, "");
  $("bearer-refuse").onclick = () => {
    turnTo("refuse");
  };
  $("refuse-no").onclick = () => {
    turnTo("bearer");
  };
  $("refuse-form").onsubmit = (event) => {
    event.preventDefault();
    if (!running) void refuse();
  };

  async function admit(way: Way, typed: string, button: HTMLElement, recover = false): Promise<void> {
    running = true;
    busy(button, t("bearer.busy"));
    try {
      const admitted = await links.admit({ link: b.token, way, ...(typed && { digits: typed }), ...(recover && { recover }), ...(way === "here" && b.own) });
      b.done(admitted, way, link);
    } catch (error) {
      busy(button, "");
      const p = problem(error);
      if (p.code === "wrong_digits") fault(digits, p.triesLeft === undefined ? t("bearer.digits.wrong") : plural("bearer.digits.wrong", p.triesLeft));
      else if (p.code === "digits_needed") void bear(b); // the proof of this browser is gone
      else if (p.code === "recovery_offered") {
        b.held(p, heldBack(p)!, (button) => void (running || admit(way, typed, button, true)));
      } else if (ends(p)) refused(b, p);
      else if (recover) refused(b, p, () => running || void admit(way, typed, $("status-action"), true));
      else fault(digits, explain(p));
    } finally {
      running = false;
    }
  }

  async function refuse(): Promise<void> {
    running = true;
    busy($("refuse-yes"), t("bearer.refuse.busy"));
    await post(b, $("refuse-yes"), $("refuse-error"), links.refuse(b.token), { title: t("bearer.refused.title"), text: t("bearer.refused.text") });
    running = false;
  }
}

/**
 * Asks whether it was this person who signed in by the message. Programs that fill and press
 * everything end on what does nothing: it comes last.
 */
function asks(b: Bearing, links: Links, { account, signed_in }: Link): void {
  const no = $<HTMLInputElement>("disown-no");
  const yes = $<HTMLInputElement>("disown-yes");
  const error = $("disown-error");
  $("disown-account").textContent = account;
  $("disown-when").textContent = ago(signed_in!.ago, t("bearer.asked.now"));
  $("disown-device").textContent = signed_in!.device ?? "";
  $("disown-device-row").hidden = !signed_in!.device;
  turnTo("disown");
  const button = $("disown-submit");
  no.onchange = yes.onchange = () => (error.textContent = "");
  $("disown-form").onsubmit = (event) => {
    event.preventDefault();
    if (button.classList.contains("busy")) return;
    if (yes.checked) return status({ kind: "good", title: t("bearer.disown.kept.title"), text: t("bearer.disown.kept.text"), ...b.again });
    if (!no.checked) {
      error.textContent = t("bearer.disown.choose");
      return no.focus();
    }
    busy(button, t("bearer.disown.busy"));
    void post(b, button, error, links.disown(b.token), { title: t("bearer.disowned.title"), text: t("bearer.disowned.text"), ...b.again, ...b.disowned });
  };
}

/** Waits for what a busy button asked for, and tells what came of it. */
async function post(b: Bearing, button: HTMLElement, error: HTMLElement, asked: Promise<void>, good: Omit<Status, "kind">): Promise<void> {
  error.textContent = "";
  try {
    await asked;
    status({ kind: "good", ...good });
  } catch (e) {
    const p = problem(e);
    if (ends(p)) refused(b, p);
    else error.textContent = explain(p);
  }
  busy(button, "");
}

/** Why a link does nothing any more: title and text. */
const over: Record<string, [title: string, text: string]> = {
  link_unknown: ["nolink.title", "nolink.text"],
  link_over: ["bearer.over.title", "bearer.over.text"],
  link_refused: ["bearer.off.title", "bearer.off.refused"],
  link_tries: ["bearer.off.title", "bearer.off.tries"],
  link_not_here: ["bearer.elsewhere.title", "bearer.lead.none"],
  other_user: ["unfinished.title", "fault.other_user"],
};

function ends(p: Problem): boolean {
  return p.code in over || heldBack(p) !== undefined;
}

function refused(b: Bearing, error: unknown, again?: () => void): void {
  const p = problem(error);
  const [title, text] = over[p.code] ?? [];
  const told = title && text ? { title: t(title), text: t(text) } : heldBack(p);
  if (told) return status({ kind: "bad", ...told, ...b.again });
  status({ kind: "bad", title: t("bearer.fault"), text: explain(p), ...(again && { action: { label: t("bearer.retry"), run: again } }) });
}
