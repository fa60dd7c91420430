// The page of a captcha, which the form shows in a frame. It is the one page that
// loads something from elsewhere; its policy names from where. It tells the form
// what came of it, and nobody else.

interface Config {
  script: string;
  object: string; // global that the script makes
  siteKey: string;
  invisible: boolean; // asks people only whom it doubts, when it is told to
}

/** What both providers have. */
interface Provider {
  render(element: HTMLElement, options: Record<string, unknown>): unknown;
  execute(id: unknown): void;
}

const config = JSON.parse(document.getElementById("config")!.textContent ?? "") as Config;
const page = window as unknown as Record<string, unknown>;

function tell(captcha: "ready" | "done" | "failed", token = ""): void {
  window.parent.postMessage({ captcha, token }, location.origin);
}

const failed = (): void => tell("failed");

page.captchaLoaded = () => {
  const provider = page[config.object] as Provider;
  const id = provider.render(document.getElementById("captcha")!, {
    sitekey: config.siteKey,
    size: config.invisible ? "invisible" : "flexible",
    callback: (token: string) => tell("done", token),
    "error-callback": failed,
    "expired-callback": failed,
  });
  tell("ready");
  if (config.invisible) provider.execute(id);
};

const script = document.createElement("script");
script.src = `${config.script}?render=explicit&onload=captchaLoaded`;
script.onerror = failed;
document.head.append(script);
