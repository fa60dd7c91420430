// What the customer's page may ask of the form's look and contents: the payload
// of CONFIG (contract 12.2). The page is a stranger: each key is checked on its
// own, bounded, and left out where it is not what it should be. A wrong key
// spoils no other.
//
// Not read, because they are for the SDK alone: skipRedirectURL, and
// authenticationMethod, which the address of the page has told already.

import { type Style, styleOf, styled } from "./styles";

export type Channel = "sms" | "whatsapp";

/** One more field that the site asks for. */
export interface Extra {
  name: string;
  label: string;
  type: string; // of an input element, from a list
  placeholder: string;
  initial: string;
}

/** What the site says while a link is waited for. */
export interface RequestText {
  title?: string;
  subtitle?: string;
  titleError?: string;
  subtitleError?: string;
  switchOTPText?: string;
}

export interface SDKConfig {
  buttonText?: string;
  buttonBackgroundColor?: string;
  buttonTextColor?: string;
  buttonBorderColor?: string;
  errorColor?: string;
  buttonWAText?: string;
  buttonWATextSubtitle?: string;
  buttonWABackgroundColor?: string;
  buttonWABorderColor?: string;
  buttonWATextColor?: string;
  buttonWALogoColor?: string;
  phoneChannels: Channel[]; // empty: not said
  countryCodes: string[]; // "+49": to be offered first, and one of them to begin with
  initialValue: string;
  fixed: boolean;
  skip: boolean; // begin with initialValue at once
  captcha: boolean;
  fields: Extra[];
  styles: Map<string, Style>; // by class name
  requestText: RequestText;
  terms?: string; // https URLs
  privacy?: string;
  providers: string[];
}

const shortTexts = [
  "buttonText", "buttonBackgroundColor", "buttonTextColor", "buttonBorderColor", "errorColor",
  "buttonWAText", "buttonWABackgroundColor", "buttonWABorderColor", "buttonWATextColor", "buttonWALogoColor",
] as const;

/** Types of a field that a person fills in; any other is a text. A password is left out: there is none here. */
const fieldTypes = ["text", "email", "tel", "number", "url", "date", "checkbox", "hidden"];
const mostFields = 8;

/** Names that the SDK itself gives to what it hands to the site (contract 2.3). */
const reserved = ["token", "oauth_token", "user", "email", "phone", "status", "identifier"];

/** A text of at most max characters, or undefined. Longer ones are cut. */
export function text(value: unknown, max: number): string | undefined {
  if (typeof value !== "string" || value.trim() === "") return undefined;
  return value.length > max ? value.slice(0, max - 1) + "…" : value;
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function list(value: unknown, max: number): unknown[] {
  return Array.isArray(value) ? value.slice(0, max) : [];
}

/** Sites write booleans as texts too: the SDK's own types say text. */
function yes(value: unknown): boolean {
  return value === true || value === "true";
}

export function readConfig(payload: Record<string, unknown>): SDKConfig {
  const c: SDKConfig = {
    phoneChannels: [],
    countryCodes: [],
    initialValue: "",
    fixed: yes(payload.identifierFieldDisabled),
    skip: false,
    captcha: yes(payload.captchaRequired),
    fields: [],
    styles: new Map(),
    requestText: {},
    providers: [],
  };
  for (const key of shortTexts) {
    const value = text(payload[key], 60);
    if (value) c[key] = value;
  }
  const subtitle = text(payload.buttonWATextSubtitle, 200);
  if (subtitle) c.buttonWATextSubtitle = subtitle;

  for (const value of list(payload.phoneChannels, 4)) {
    const channel = String(value).toLowerCase();
    if ((channel === "sms" || channel === "whatsapp") && !c.phoneChannels.includes(channel)) c.phoneChannels.push(channel);
  }
  for (const value of list(payload.countryCode, 250)) {
    const m = /^\+?(\d{1,4})$/.exec(String(value).trim());
    if (m) c.countryCodes.push(`+${m[1]}`);
  }

  // An address that is too long is none; a cut one would be somebody else's.
  const initial = text(payload.identifierFieldInitialValue, 255);
  if (initial && initial.length < 255) c.initialValue = initial;
  const skipped = text(payload.skipIdentiferFormWithValue, 255);
  if (yes(payload.skipIdentiferForm) && skipped && skipped.length < 255) {
    c.initialValue = skipped;
    c.skip = true;
  }

  const taken = new Set([...reserved, String(payload.identifierField ?? "")]);
  for (const value of list(payload.additionalFields, mostFields)) {
    const field = readField(record(value));
    if (!field || taken.has(field.name)) continue;
    taken.add(field.name);
    c.fields.push(field);
  }

  for (const name of styled) {
    const style = styleOf(record(payload.styles)[name]);
    if (style.length) c.styles.set(name, style);
  }

  // The SDK fills in English texts of its own and marks them; ours are in the
  // person's language.
  const request = record(payload.authRequestText);
  if (request.default !== true) {
    for (const [key, max] of [["title", 80], ["subtitle", 200], ["titleError", 80], ["subtitleError", 200], ["switchOTPText", 80]] as const) {
      const value = text(request[key], max);
      if (value) c.requestText[key] = value;
    }
  }

  const terms = secureLink(payload.termsOfServiceLink);
  if (terms) c.terms = terms;
  const privacy = secureLink(payload.privacyPolicyLink);
  if (privacy) c.privacy = privacy;

  for (const value of list(payload.socialLoginProviders, 6)) {
    if (typeof value === "string" && /^[A-Z0-9_-]{1,32}$/i.test(value) && !c.providers.includes(value)) c.providers.push(value);
  }
  return c;
}

/** What the page asks for, and of what it asks nothing the operator's settings of the form. */
export function completed(asked: SDKConfig, set: Record<string, unknown>): SDKConfig {
  const own = readConfig(set);
  return {
    ...asked,
    fields: asked.fields.length ? asked.fields : own.fields,
    providers: asked.providers.length ? asked.providers : own.providers,
  };
}

function readField(value: Record<string, unknown>): Extra | undefined {
  const name = value.name;
  if (typeof name !== "string" || !/^[\p{L}\p{N}_. -]{1,64}$/u.test(name) || name in {}) return undefined;
  if (value.type === "password") return undefined;
  const type = typeof value.type === "string" && fieldTypes.includes(value.type) ? value.type : "text";
  const initial = typeof value.initial_value === "number" || typeof value.initial_value === "boolean" ? String(value.initial_value) : value.initial_value;
  return {
    name,
    type,
    label: text(value.label, 80) ?? name,
    placeholder: text(value.placeholder, 80) ?? "",
    initial: typeof initial === "string" && initial.length <= 1024 ? initial : "",
  };
}

function secureLink(value: unknown): string | undefined {
  if (typeof value !== "string" || value.length > 2048) return undefined;
  try {
    const url = new URL(value);
    return url.protocol === "https:" && !url.username && !url.password ? url.href : undefined;
  } catch {
    return undefined;
  }
}
