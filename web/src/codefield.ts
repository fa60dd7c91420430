// The field for the code. Whatever is typed or pasted, what is sent is the bare
// code.

import type { Attempt } from "../../sdk/src/shapes";
import { $ } from "./page";
import { fault } from "./screens";
import { t } from "./text";

export const codeInput = $<HTMLInputElement>("code");

let length = 6;
let alphabet = "0123456789";

/** Prepares the field for the code of an attempt. It reports whether that is all digits. */
export function expectCode(a: Attempt): boolean {
  length = a.code?.length ?? 6;
  alphabet = a.code?.alphabet ?? "0123456789";
  const digits = /^\d+$/.test(alphabet);
  (document.querySelector(".verification_label") as HTMLElement).textContent = digits ? t("code.label.digits", { n: length }) : t("code.label");
  codeInput.inputMode = digits ? "numeric" : "text";
  if (digits) codeInput.pattern = "[0-9 \\-]*";
  else codeInput.removeAttribute("pattern");
  codeInput.value = "";
  codeInput.classList.toggle("long", length > 7);
  fault(codeInput, "");
  return digits;
}

/**
 * What was typed or pasted, without the spaces and hyphens people put into
 * codes, and in capitals where the code knows no others.
 */
export function typedCode(): string {
  const code = codeInput.value.replace(/[\s\u2010-\u2015-]/g, "");
  return alphabet === alphabet.toUpperCase() ? code.toUpperCase() : code;
}

export function codeIsWhole(): boolean {
  return typedCode().length === length;
}

/** The code, or undefined after it was said what is missing. */
export function readCode(): string | undefined {
  const code = typedCode();
  if (code.length === length) return code;
  fault(codeInput, code ? t("code.short", { n: length }) : t("code.empty"));
  return undefined;
}

/** A whole sentence from the message may have been pasted: takes the code out of it. */
export function findCode(): void {
  if (typedCode().length <= length) return;
  const words = codeInput.value.split(/[^\p{L}\p{N}]+/u);
  const found = words.find((word) => word.length === length && [...word].every((c) => alphabet.includes(c)));
  if (found) codeInput.value = found;
}
