// The field for what the person signs in with: an email address or a phone
// number. The server decides what is one; what is said here only spares a round
// trip.

import { $ } from "./page";
import { fault } from "./screens";
import type { SDKConfig } from "./sdkconfig";
import { t } from "./text";

export interface IdentifierField {
  /** What the server may say of it: code, and key of the text. */
  faults: Record<string, string>;
  /** What was entered, or undefined after it was said what is missing. */
  read(): string | undefined;
  /** Shows an identifier of the server's or the site's. */
  fill(identifier: string): void;
  /** Whether the person may change it. */
  fix(fixed: boolean): void;
  /** What the site wants of the field beyond its contents. */
  configure(c: SDKConfig): void;
}

/** The input element that takes the focus and the error, whatever it asks for. */
export const identifierInput = $<HTMLInputElement>("address");

identifierInput.oninput = () => fault(identifierInput, "");

export const emailField: IdentifierField = {
  faults: { invalid_identifier: "address.invalid" },
  read() {
    const typed = identifierInput.value.trim();
    if (/^[^\s@]+@[^\s@]+$/.test(typed)) return typed;
    fault(identifierInput, t(typed ? "address.invalid" : "address.empty"));
    return undefined;
  },
  fill(identifier) {
    identifierInput.value = identifier;
  },
  fix(fixed) {
    identifierInput.readOnly = fixed;
  },
  configure() {},
};
