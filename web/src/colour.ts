// Colours that the framing page asks for. They are taken only as far as the
// form stays readable; package web does the same for the project's own colour.

type RGB = [number, number, number];

/** Reads any opaque CSS colour, as the browser understands it. */
function parseColour(value: string): RGB | undefined {
  const probe = document.createElement("span");
  probe.style.color = value;
  // Not a colour, or one that depends on where it stands.
  if (!probe.style.color || /var\(|current|inherit|initial|unset|revert/i.test(value)) return undefined;
  probe.hidden = true;
  document.body.append(probe);
  const computed = getComputedStyle(probe).color;
  probe.remove();
  const m = /^rgb\((\d+), (\d+), (\d+)\)$/.exec(computed);
  return m ? [Number(m[1]), Number(m[2]), Number(m[3])] : undefined;
}

function luminance(c: RGB): number {
  const [r, g, b] = c.map((v) => {
    const s = v / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  }) as RGB;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: RGB, b: RGB): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

const white: RGB = [255, 255, 255];
const black: RGB = [0, 0, 0];

const css = (c: RGB): string => `rgb(${c.join(",")})`;

/** The colours that a site may ask for. */
interface Colours {
  buttonBackgroundColor?: string;
  buttonTextColor?: string;
  buttonBorderColor?: string;
  errorColor?: string;
  buttonWABackgroundColor?: string;
  buttonWATextColor?: string;
  buttonWABorderColor?: string;
  buttonWALogoColor?: string;
}

/** Dresses the form, and again when the person's system turns light or dark. */
export function dressForm(c: Colours): void {
  const root = document.documentElement;
  const whatsApp = document.getElementById("whatsapp-submit");
  const dress = (): void => {
    dressButton(root, c.buttonBackgroundColor, c.buttonTextColor, c.buttonBorderColor);
    const bad = c.errorColor ? parseColour(c.errorColor) : undefined;
    if (bad && contrast(bad, surface()) >= 4.5) root.style.setProperty("--bad", css(bad));
    if (!whatsApp) return;
    dressButton(whatsApp, c.buttonWABackgroundColor, c.buttonWATextColor, c.buttonWABorderColor);
    const logo = c.buttonWALogoColor ? parseColour(c.buttonWALogoColor) : undefined;
    const behind = custom(whatsApp, "--accent");
    if (logo && behind && contrast(logo, behind) >= 3) whatsApp.style.setProperty("--logo", css(logo));
  };
  dress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const element of [root, whatsApp]) {
      for (const name of ["--accent", "--on-accent", "--accent-edge", "--bad", "--logo"]) element?.style.removeProperty(name);
    }
    dress();
  });
}

/** An unreadable colour of a button's text is replaced, and so is an edge that would vanish. */
function dressButton(element: HTMLElement, background?: string, textColour?: string, border?: string): void {
  const style = element.style;
  const back = background ? parseColour(background) : undefined;
  if (back) {
    style.setProperty("--accent", css(back));
    style.setProperty("--on-accent", css(contrast(white, back) >= 4.5 ? white : black));
    style.setProperty("--accent-edge", contrast(back, surface()) >= 3 ? css(back) : "var(--line)");
  }
  const current = back ?? custom(element, "--accent");
  const front = textColour ? parseColour(textColour) : undefined;
  if (front && current && contrast(front, current) >= 4.5) style.setProperty("--on-accent", css(front));
  const edge = border ? parseColour(border) : undefined;
  if (edge && current && (contrast(edge, surface()) >= 3 || contrast(current, surface()) >= 3)) {
    style.setProperty("--accent-edge", css(edge));
  }
}

function custom(element: Element, name: string): RGB | undefined {
  return parseColour(getComputedStyle(element).getPropertyValue(name).trim());
}

function surface(): RGB {
  return custom(document.documentElement, "--surface") ?? white;
}
