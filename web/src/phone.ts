// A phone number: a country and the number in it. The country is a list of the
// browser's own: it opens over the edge of a small frame, on a phone it is the
// wheel that people know, it is searched by typing, and screen readers need
// nothing explained. Whoever types or pastes a whole number, in any way of
// writing it, never opens the list: the number says where it belongs.

import { caret, type Country, countries, country, fault as misfit, grouped, guess, read, whole } from "./countries";
import type { IdentifierField } from "./identifier";
import { $, config } from "./page";
import { fault, say } from "./screens";
import { t } from "./text";

export function phoneField(input: HTMLInputElement): IdentifierField {
  const select = $<HTMLSelectElement>("country");
  const box = select.parentElement!;
  const all = countries(config.locale);
  const name = (): string => all.find((c) => c.id === select.value)?.name ?? "";
  const chosen = (): Country => country(select.value) ?? guess();
  select.append(...options(all));
  choose(guess());

  function choose(c: Country): void {
    select.value = c.id;
    $("country-code").textContent = c.code;
    input.placeholder = c.example;
  }

  /** Takes over what stands in the field. Its country is said where it changed. */
  function take(): void {
    const found = read(input.value, chosen()).country;
    if (found.id !== select.value) {
      choose(found);
      say(name());
    }
    // A number that names its country does so in the field: not twice.
    box.classList.toggle("country_code_blank", isWhole(input.value));
  }

  /** Writes a whole number as its country does, once it is all there. */
  function settle(): void {
    if (!isWhole(input.value) || misfit(input.value, chosen())) return;
    input.value = grouped(read(input.value, chosen()).digits, chosen());
    take();
  }

  select.addEventListener("change", () => {
    // The list was asked, so it counts for more than what the number says.
    const digits = read(input.value, chosen()).digits;
    choose(chosen());
    input.value = grouped(digits, chosen());
    take();
    fault(input, "");
    input.focus();
  });

  input.addEventListener("input", (event) => {
    const typed = plain(input.value);
    const at = input.selectionStart ?? typed.length;
    if (typed !== input.value) input.value = typed;
    take();
    const shown = grouped(typed, chosen());
    if (shown !== input.value) {
      input.value = shown;
      const to = caret(typed, at, shown);
      input.setSelectionRange(to, to);
    }
    if (/^insert(FromPaste|ReplacementText)$/.test((event as InputEvent).inputType)) settle();
  });
  // What the browser fills in, and what was typed when the person goes on.
  input.addEventListener("change", settle);

  return {
    faults: {
      invalid_identifier: "phone.invalid",
      country_not_allowed: "phone.country.off",
      phone_unreachable: "phone.unreachable",
      channel_not_offered: "phone.channel.off",
      phone_budget: "phone.unsent",
      phone_paused: "phone.unsent",
    },
    read() {
      if (!/\d/.test(input.value)) {
        fault(input, t("phone.empty"));
        return undefined;
      }
      settle();
      const wrong = misfit(input.value, chosen());
      if (wrong) {
        fault(input, t(wrong === "short" ? "phone.short" : "phone.long", { country: name() }));
        return undefined;
      }
      return whole(input.value, chosen());
    },
    fill(identifier) {
      input.value = plain(identifier);
      take();
      settle();
    },
    fix(fixed) {
      input.readOnly = fixed;
      select.disabled = fixed;
    },
    configure(c) {
      if (!c.countryCodes.length) return;
      const before = chosen();
      const first = all.filter((k) => c.countryCodes.includes(k.code));
      if (!first.length) return;
      select.replaceChildren(
        group(t("phone.countries.first"), first),
        group(t("phone.countries.other"), all.filter((k) => !first.includes(k))),
      );
      // What was typed already counts for more than what the site suggests.
      choose(input.value ? before : guess(c.countryCodes));
    },
  };
}

function options(list: (Country & { name: string })[]): HTMLOptionElement[] {
  return list.map((c) => {
    const option = document.createElement("option");
    option.value = c.id;
    option.textContent = `${c.name} (${c.code})`;
    return option;
  });
}

function group(label: string, list: (Country & { name: string })[]): HTMLOptGroupElement {
  const element = document.createElement("optgroup");
  element.label = label;
  element.append(...options(list));
  return element;
}

function isWhole(text: string): boolean {
  return /^\s*(?:\+|00)/.test(text);
}

/** A text with digits and plus sign of any script as ASCII, without what a link puts before a number. */
function plain(text: string): string {
  return text
    .normalize("NFKC")
    .replace(/^\s*tel:/i, "")
    .replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .replace(/\p{Nd}/gu, (c) => {
      // Digits stand in runs of ten, and each run begins at its zero.
      let n = 0;
      while (n < 9 && /\p{Nd}/u.test(String.fromCodePoint(c.codePointAt(0)! - n - 1))) n++;
      return String(n);
    });
}
