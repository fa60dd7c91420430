// While a link is on its way: what its page may ask for is shown here.

import { $, config } from "./page";
import type { RequestText } from "./sdkconfig";
import { t, tInto } from "./text";

/** Shows the two digits of this screen, and the site's own words where it has some. */
export function showLink(digits: string, identifier: string, site: RequestText): void {
  const values = { identifier, type: config.kind === "phone" ? t("link.type.phone") : t("link.type.email") };
  const own = (text: string): string => text.replace(/\{\{(identifier|type)\}\}/g, (_, name: "identifier" | "type") => values[name]);
  if (site.title) $("code-title").textContent = own(site.title);
  if (site.subtitle) $("code-sent").textContent = own(site.subtitle);
  else tInto($("code-sent"), "link.sent", { address: identifier });
  $("link-digits").textContent = digits;
  $("link-switch").textContent = site.switchOTPText ?? t("link.switch");
}
