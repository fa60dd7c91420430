// Buttons for signing in with an account elsewhere. The site names the
// providers; the SDK takes the person there when it is told which.

import { $ } from "./page";
import { t } from "./text";

/** How providers write themselves. Others are shown as the site wrote them. */
const names: Record<string, string> = {
  APPLE: "Apple", DISCORD: "Discord", GITHUB: "GitHub", GITLAB: "GitLab", GOOGLE: "Google", MICROSOFT: "Microsoft",
};

export function showProviders(providers: string[], choose: (provider: string, button: HTMLElement) => void): void {
  if (!providers.length) return;
  $("providers").append(
    ...providers.map((provider) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button_container plain";
      const spinner = document.createElement("span");
      spinner.className = "spinner loadingImg";
      spinner.setAttribute("aria-hidden", "true");
      const label = document.createElement("span");
      label.className = "button_text";
      label.textContent = t("social.continue", { provider: names[provider.toUpperCase()] ?? provider });
      button.append(spinner, label);
      button.onclick = () => choose(provider, button);
      return button;
    }),
  );
  $("social").hidden = false;
}
