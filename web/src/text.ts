// The page's texts. They come with the page, in its locale; see web/text.

let table: Record<string, string> = {};
let locale = "en";

export function useTexts(texts: Record<string, string>, lang: string): void {
  table = texts;
  locale = lang;
}

/** Whether there is a text for key. */
export function has(key: string): boolean {
  return key in table;
}

export type Values = Record<string, string | number>;

/** The text of key, with {name} replaced by the value of that name. */
export function t(key: string, values: Values = {}): string {
  return fill(table[key] ?? key, values);
}

/** The text of key in the plural form that n asks for. */
export function plural(key: string, n: number): string {
  const form = `${key}.${new Intl.PluralRules(locale).select(n)}`;
  return t(form in table ? form : `${key}.other`, { n });
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/**
 * Puts the text of key into an element, with each value as an element of its
 * own, isolated from the direction of the sentence around it. A value keeps
 * together with the full stop after it: one that is too long for its line breaks
 * before an @ or a dot, so that no full stop stands on a line alone.
 */
export function tInto(element: HTMLElement, key: string, values: Record<string, string>, rest: Values = {}): void {
  const parts = t(key, rest).split(/(\{\w+\})/);
  const nodes: (Node | string)[] = [];
  parts.forEach((part, i) => {
    const value = values[part.slice(1, -1)];
    if (!part.startsWith("{") || value === undefined) return nodes.push(part);
    const b = document.createElement("bdi");
    b.append(...breakable(value));
    const whole = document.createElement("span");
    whole.className = "together";
    const stop = /^\p{Po}*/u.exec(parts[i + 1] ?? "")![0];
    if (stop) parts[i + 1] = parts[i + 1]!.slice(stop.length);
    whole.append(b, stop);
    return nodes.push(whole);
  });
  element.replaceChildren(...nodes);
}

/** An address that breaks, where it is too long for its line, before an @ or a dot. */
export function breakable(value: string): (Node | string)[] {
  return value.split(/(?=[@.])/).flatMap((piece, n) => (n > 0 ? [document.createElement("wbr"), piece] : [piece]));
}

/** "40 seconds", "2 minutes", "3 hours", "3 days": rounded up, so that waiting that long is enough. */
export function duration(seconds: number): string {
  let n = Math.max(1, Math.ceil(seconds));
  let unit = "second";
  if (n > 90) {
    n = Math.ceil(n / 60);
    unit = "minute";
    if (n > 90) {
      n = Math.ceil(n / 60);
      unit = "hour";
      if (n > 48) {
        n = Math.ceil(n / 24);
        unit = "day";
      }
    }
  }
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(n);
}

/** "0:24", as countdowns show it. */
export function clock(seconds: number): string {
  const s = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** "2 minutes ago". */
export function ago(seconds: number, now: string): string {
  if (seconds < 10) return now;
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  if (seconds < 90) return format.format(-Math.round(seconds), "second");
  if (seconds < 5400) return format.format(-Math.round(seconds / 60), "minute");
  if (seconds < 129600) return format.format(-Math.round(seconds / 3600), "hour");
  return format.format(-Math.round(seconds / 86400), "day");
}
