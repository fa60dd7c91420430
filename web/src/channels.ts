// Over which channel a phone gets its message: one button each, where there is
// a choice.

import { $, config } from "./page";
import { rename } from "./screens";
import type { Channel, SDKConfig } from "./sdkconfig";
import { t } from "./text";

let offered: Channel[] = [];
let chosen: Channel | undefined;

/** Shows the buttons: what the project sends over, as far as the site wants it. */
export function configureChannels(c?: SDKConfig): void {
  if (config.kind !== "phone") return;
  const possible = config.channels as Channel[];
  const wanted = c?.phoneChannels.length ? c.phoneChannels : possible;
  offered = wanted.filter((channel) => possible.includes(channel));
  if (!offered.length) offered = possible;
  chosen = offered[0];

  const whatsApp = offered.includes("whatsapp");
  const sms = offered.includes("sms");
  $("address-submit").hidden = whatsApp && !sms;
  $("whatsapp-submit").hidden = !whatsApp;
  $("whatsapp-note").hidden = !whatsApp;
  $("address-submit").dataset.channel = sms ? "sms" : "";
  if (whatsApp && sms && !c?.buttonText) rename($("address-submit"), t("phone.submit.sms"));
  if (c?.buttonWAText) rename($("whatsapp-submit"), c.buttonWAText);
  if (c?.buttonWATextSubtitle) $("whatsapp-note").textContent = c.buttonWATextSubtitle;
}

export function chooseChannel(channel: string | undefined): void {
  if (channel === "sms" || channel === "whatsapp") chosen = channel;
}

/** The channel of the message, or undefined where there is nothing to choose. */
export function channelNow(): Channel | undefined {
  return chosen;
}

/** The other channels, over which the message may go as well. */
export function channelsLeft(): Channel[] {
  return offered.filter((channel) => channel !== chosen);
}
