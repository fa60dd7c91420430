// Styles of the customer's page, by class name. They are written through the
// style sheet's own interface, property by property, so that the page's policy
// stands and no value can end one rule and begin another.

/** The class names that a site may style (contract 12.2). All of them are in the form. */
export const styled = [
  "form_container", "loadingImg", "input_label", "verification_label", "pin_row", "pin_input", "verification_subtitle", "error",
  "input_row_container", "input_row", "input_text_container_default", "input_text", "input_text_container", "country_code",
  "country_code_blank", "input_text_p", "check_input", "button_container", "button_text", "divider_text", "divider_text_before",
  "divider_text_span", "divider_text_after",
];

/** Properties of a class, checked: names as CSS writes them. */
export type Style = [property: string, value: string][];

// What decorates and what spaces. Nothing that places an element over another,
// hides it, loads something, or puts words where there were none.
const sides = "(-(top|right|bottom|left|inline|block|inline-start|inline-end|block-start|block-end))?";
const allowed = new RegExp(
  "^(color|background-color|caret-color|accent-color" +
    `|border${sides}(-(color|style|width))?|border(-(top|bottom)-(left|right))?-radius` +
    "|box-shadow|outline-color" +
    "|font-(family|size|style|weight)|letter-spacing|line-height|text-(align|decoration|decoration-color|decoration-line|transform)|word-spacing" +
    `|padding${sides}|margin${sides}|gap|column-gap|row-gap` +
    "|(min-|max-)?(width|height)|justify-content|align-items)$",
);

const colouring = /color|^border$|^border-(top|right|bottom|left|inline|block)$|shadow/;

/** Properties whose numbers are no lengths. */
const plain = ["font-weight", "line-height"];

const mostProperties = 40;

/** Reads one class's styles from an object as CSS-in-JS writes it. What is not allowed is left out. */
export function styleOf(value: unknown): Style {
  const style: Style = [];
  if (typeof value !== "object" || value === null) return style;
  for (const [name, given] of Object.entries(value).slice(0, mostProperties)) {
    const property = name.replace(/[A-Z]/g, (c) => "-" + c.toLowerCase());
    if (!allowed.test(property)) continue;
    const text = typeof given === "number" && Number.isFinite(given) ? (given === 0 || plain.includes(property) ? String(given) : `${given}px`) : given;
    // A function that names a file, or hides its name behind an escape, is none
    // that a form needs.
    if (typeof text !== "string" || text.length > 200 || /\\|url\(|image\(|image-set\(|src\(|attr\(|env\(|var\(|!\s*important/i.test(text)) continue;
    style.push([property, text.trim()]);
  }
  return style;
}

/**
 * Dresses the form. A site that gives colours was made for a light form: its
 * colours and those of a dark one could hide each other, so the form stays light.
 */
export function dress(styles: Map<string, Style>): void {
  if (styles.size === 0) return;
  const sheet = (document.querySelector('link[rel="stylesheet"]') as HTMLLinkElement | null)?.sheet;
  if (!sheet) return;
  for (const [name, style] of styles) {
    // Twice the class, so that the site comes before our own rules for small frames.
    const at = sheet.insertRule(`.mode-frame .${name}.${name} {}`, sheet.cssRules.length);
    const rule = sheet.cssRules[at] as CSSStyleRule;
    for (const [property, value] of style) {
      rule.style.setProperty(property, value);
      if (colouring.test(property)) document.documentElement.classList.add("light");
    }
  }
}
