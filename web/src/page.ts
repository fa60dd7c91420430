// What the server wrote into the page, and how its elements are found.

import { useTexts } from "./text";

export interface Config {
  mode: "frame" | "app" | "signin";
  base: string;
  project: string;
  rememberDays: number; // for how long a browser that is told to remember is recognised; zero: there is no such thing
  locale: string;
  domain: string;
  messageId: string;
  challenge: string;
  state: string;
  redirectUrl: string;
  formId: string;
  userId: string; // whose address must be proved; empty: anybody's
  extra: Record<string, unknown>; // what the operator set for the form of that id, written as CONFIG is
  kind: "email" | "phone" | "nothing"; // what the form asks for
  passkey: boolean; // offer one
  method: string; // of /v1
  channels: string[]; // phone: what messages may go over
  linkReturns: boolean; // a link in the message leads to the redirect URL instead of a page of ours
  captcha: boolean; // the operator configured one
  input: string;
  directLogin: boolean;
  issuer: string;
  accountUrl: string; // of the page of a link: where people look after their account; empty: no page of ours
  text: Record<string, string>;
}

export const $ = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;

export const config = JSON.parse($("config").textContent ?? "") as Config;
useTexts(config.text, config.locale);

/** Whether the form stands in an iframe of the customer's page. */
export const framed = config.mode === "frame";
