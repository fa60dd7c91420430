// The page at which the link of a message leads. It takes the link from its own
// address. In the browser that asked, the page that asked goes on: only it has what
// the app needs to finish. Elsewhere the site's own page takes over.

import type { Link } from "../../sdk/src/shapes";
import { bear } from "./bearer";
import { host, withParams } from "./destination";
import { $, config } from "./page";
import { status } from "./screens";
import { t } from "./text";

status({ kind: "wait", title: t("bearer.wait"), text: "" });

void bear({
  base: config.base,
  token: decodeURIComponent(location.pathname.split("/").pop() ?? ""),
  way: (link: Link) => (link.same_browser ? "let_in" : link.may_hand_over ? "hand_over" : link.may_let_in ? "let_in" : undefined),
  disowned: config.accountUrl ? { link: { label: t("bearer.disowned.account"), href: config.accountUrl } } : undefined,
  held(_, { title }, begin) {
    // There is nothing to sign in with here. The button is no way to go on for most.
    status({ kind: "bad", title, text: t("recovery.offer.link"), action: { label: t("recovery.begin"), run: () => begin($("status-action")), plain: true } });
  },
  done({ granted, location: to }, way, link) {
    if (to) {
      status({ kind: "wait", title: t("bearer.going.title"), text: t("bearer.going.text", { site: host(link.site ?? to) }) });
      return location.replace(to);
    }
    const url = granted?.authorization_code && granted.redirect_url
      ? withParams(granted.redirect_url, {
          code: granted.authorization_code,
          state: granted.state ?? "",
          challenge_id: String(granted.challenge_id),
          ...(config.issuer && { iss: config.issuer }),
        })
      : undefined;
    status({
      kind: "good",
      title: t("bearer.done.title"),
      text: t(way === "let_in" && !link.same_browser ? "bearer.done.other" : "bearer.done.text"),
      ...(url && { link: { label: t("bearer.done.gone"), href: url } }),
    });
  },
});
