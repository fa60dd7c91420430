// The Cotter page protocol: what the form in an iframe and the SDK of the
// framing page tell each other. The SDK is not ours and not changed, so the
// names and shapes here are not ours either (contract 12.1, 12.2 and 12.8).

import { type OpenedLink, readLink } from "./link";
import { readConfig, record, type SDKConfig, text } from "./sdkconfig";

export type FromSDK =
  | { action: "CONFIG"; config: SDKConfig }
  | { action: "CONTINUE_SUBMIT"; identifier: string | undefined }
  | { action: "ON_ERROR"; message: string }
  | { action: "DONE_SUCCESS" }
  | { action: "DONE_ERROR"; message: string }
  | { action: "HANDLE_MAGIC_LINK_REDIRECT"; link: OpenedLink | undefined };

/** Longer texts from the other side are cut. */
const longest = 300;

/** Reads one message, or returns undefined for what is none of the protocol. */
export function parse(data: unknown): FromSDK | undefined {
  if (typeof data !== "string" || data.length > 65536) return undefined;
  let message: Record<string, unknown>;
  try {
    message = record(JSON.parse(data));
  } catch {
    return undefined;
  }
  const payload = record(message.payload);
  switch (message.action) {
    case "CONFIG":
      return { action: "CONFIG", config: readConfig(payload) };
    case "CONTINUE_SUBMIT":
      return { action: "CONTINUE_SUBMIT", identifier: typeof payload.identifier === "string" ? payload.identifier : undefined };
    case "ON_ERROR":
      return { action: "ON_ERROR", message: text(message.errorMsg, longest) ?? "" };
    case "DONE_SUCCESS":
      return { action: "DONE_SUCCESS" };
    case "DONE_ERROR": {
      // A response comes as {data: {msg}}, a text as itself, an exception as {}.
      const said = text(message.payload, longest) ?? text(record(payload.data).msg, longest) ?? text(payload.msg, longest) ?? "";
      return { action: "DONE_ERROR", message: said };
    }
    case "HANDLE_MAGIC_LINK_REDIRECT":
      return { action: "HANDLE_MAGIC_LINK_REDIRECT", link: readLink(payload) };
  }
  return undefined;
}

/** The framing page. Messages go to its one origin and are taken from it alone. */
export class Parent {
  constructor(
    private readonly origin: string,
    private readonly id: string,
    receive: (message: FromSDK) => void,
  ) {
    addEventListener("message", (event) => {
      if (event.source !== window.parent || event.origin !== this.origin) return;
      const message = parse(event.data);
      if (message) receive(message);
    });
  }

  send(name: string, payload?: object): void {
    window.parent.postMessage(JSON.stringify({ callbackName: this.id + name, payload }), this.origin);
  }
}
