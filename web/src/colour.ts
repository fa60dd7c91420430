// Colours that the framing page asks for. They are taken only as far as the
// form stays readable; package web does the same for the project's own colour.

type RGB = [number, number, number];

/** Reads any opaque CSS colour, as the browser understands it. */
export function parseColour(value: string): RGB | undefined {
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

export function contrast(a: RGB, b: RGB): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

const white: RGB = [255, 255, 255];
const black: RGB = [0, 0, 0];

const css = (c: RGB): string => `rgb(${c.join(",")})`;

/** Dresses the main button. An unreadable colour of its text is replaced, an edge that vanishes is kept. */
export function dressButton(background?: string, textColour?: string, border?: string): void {
  const style = document.documentElement.style;
  const back = background ? parseColour(background) : undefined;
  if (back) {
    style.setProperty("--accent", css(back));
    style.setProperty("--on-accent", css(contrast(white, back) >= 4.5 ? white : black));
    if (contrast(back, surface()) >= 3) style.setProperty("--accent-edge", css(back));
  }
  const current = back ?? custom("--accent");
  const front = textColour ? parseColour(textColour) : undefined;
  if (front && current && contrast(front, current) >= 4.5) style.setProperty("--on-accent", css(front));
  const edge = border ? parseColour(border) : undefined;
  if (edge && current && (contrast(edge, surface()) >= 3 || contrast(current, surface()) >= 3)) {
    style.setProperty("--accent-edge", css(edge));
  }
}

/** Takes the colour of error texts if it can be read on the form. */
export function dressErrors(value: string): void {
  const c = parseColour(value);
  if (c && contrast(c, surface()) >= 4.5) document.documentElement.style.setProperty("--bad", css(c));
}

function custom(name: string): RGB | undefined {
  return parseColour(getComputedStyle(document.documentElement).getPropertyValue(name).trim());
}

function surface(): RGB {
  return custom("--surface") ?? white;
}
