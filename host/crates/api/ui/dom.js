// Elements. Texts become text nodes and nothing here reads HTML, so that no name can be markup.

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false && c !== ""));
  return element;
}

/** An element of HTML: `h("p", { class: "x", onclick: f }, "text", child, [children])`. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/** Puts new children into an element; who had the focus keeps it, by `data-key` or by where a link leads. */
export function replace(element, ...children) {
  const active = element.contains(document.activeElement) ? document.activeElement : undefined;
  const key = (e) => e.dataset.key ?? e.getAttribute("href");
  const wanted = active && key(active);
  fill(element, {}, []).replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (!wanted) return;
  const again = [...element.querySelectorAll("a, button, input, select, [data-key]")].find((e) => key(e) === wanted);
  again?.focus({ preventScroll: true });
}
