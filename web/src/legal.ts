// The line that names the site's terms. The links open beside the form: inside
// its frame they could not be read, and the sign-in would be lost.

import { $ } from "./page";
import { t } from "./text";

export function showLegal(terms: string | undefined, privacy: string | undefined): void {
  const key = terms && privacy ? "legal.both" : terms ? "legal.terms" : privacy ? "legal.privacy" : "";
  if (!key) return;
  const links: Record<string, [string | undefined, string]> = {
    "{terms}": [terms, t("legal.terms.link")],
    "{privacy}": [privacy, t("legal.privacy.link")],
  };
  const nodes = t(key)
    .split(/(\{\w+\})/)
    .map((part) => {
      const [href, label] = links[part] ?? [];
      if (!href || !label) return part;
      const a = document.createElement("a");
      a.href = href;
      a.textContent = label;
      a.target = "_blank";
      a.rel = "noopener noreferrer";
      return a;
    });
  const line = $("legal");
  line.replaceChildren(...nodes);
  line.hidden = false;
}
