// The fields that a site asks for beside the address (contract 12.2,
// additionalFields). What is entered goes back to the site with the result, as
// client_json: at most 1 KiB, one text or truth value per field (security 29).

import { identifierInput } from "./identifier";
import { $ } from "./page";
import { fault } from "./screens";
import type { Extra } from "./sdkconfig";
import { t } from "./text";

export type ClientData = Record<string, string | boolean>;

/** What client_json may weigh, in bytes of UTF-8. */
const room = 1024;

const inputs: { extra: Extra; input: HTMLInputElement }[] = [];

/** Puts the fields above the button. */
export function addFields(extras: Extra[]): void {
  const place = $("fields");
  extras.forEach((extra, i) => {
    const input = document.createElement("input");
    input.id = `field-${i}`;
    input.name = extra.name;
    input.type = extra.type;
    if (extra.type === "checkbox") input.checked = extra.initial === "true";
    else input.value = extra.initial;
    inputs.push({ extra, input });
    if (extra.type === "hidden") return place.append(input);

    const row = document.createElement("div");
    row.className = "input_row_container";
    const label = document.createElement("label");
    label.htmlFor = input.id;
    // Its own direction inside, the page's for where it stands.
    const words = document.createElement("span");
    words.dir = "auto";
    words.textContent = extra.label;
    label.append(words);
    const error = document.createElement("p");
    error.className = "error";
    error.id = `${input.id}-error`;
    error.setAttribute("role", "alert");
    input.setAttribute("aria-describedby", error.id);
    input.oninput = () => fault(input, "");
    if (extra.type === "checkbox") {
      input.className = "check_input";
      label.className = "check_label";
      label.prepend(input);
      row.append(label, error);
    } else {
      input.className = "input_text";
      input.dir = "auto";
      if (extra.placeholder) input.placeholder = extra.placeholder;
      label.className = "input_label";
      const container = document.createElement("div");
      container.className = "input_text_container_default";
      container.append(input);
      row.append(label, container, error);
    }
    return place.append(row);
  });
}

/** What was entered, or undefined after it was said what is wrong and where. */
export function readFields(): ClientData | undefined {
  const data: ClientData = {};
  let longest: HTMLInputElement | undefined;
  for (const { extra, input } of inputs) {
    if (!input.checkValidity()) {
      fault(input, t("field.invalid"));
      return undefined;
    }
    data[extra.name] = extra.type === "checkbox" ? input.checked : input.value.trim();
    if (extra.type !== "hidden" && extra.type !== "checkbox" && input.value.length >= (longest?.value.length ?? 0)) longest = input;
  }
  if (new TextEncoder().encode(JSON.stringify(data)).length > room) {
    fault(longest ?? identifierInput, t("field.long"));
    return undefined;
  }
  return data;
}
