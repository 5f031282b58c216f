// Small tools to build and update the page without disturbing what a person is using.

/** Makes an element. `props` are properties, `on…` listeners, or attributes with a dash or `role`. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An icon: a path in a box of 24 by 24. */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  copy: "M9 9h10v11H9zM5 15V4h10",
  expand: "M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5",
  back: "M15 5l-7 7 7 7",
  play: "M8 5l11 7-11 7z",
  sound: "M4 10v4h4l5 4V6l-5 4zM17 9a4 4 0 010 6",
  silent: "M4 10v4h4l5 4V6l-5 4zM17 10l4 4M21 10l-4 4",
};

/** Writes a text only where it changed, so that a selection stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Makes the children of `parent` those of `items`, keeping the nodes of keys that stay. */
export function each(parent, items, key, make, update) {
  const known = parent.eyeletNodes ?? (parent.eyeletNodes = new Map());
  const wanted = new Set(items.map(key));
  for (const [name, entry] of known) {
    if (wanted.has(name)) continue;
    entry.gone?.();
    entry.node.remove();
    known.delete(name);
  }
  let place = parent.firstElementChild;
  // The head of a table stays where it is.
  if (place?.tagName === "THEAD") place = place.nextElementSibling;
  for (const item of items) {
    let entry = known.get(key(item));
    if (!entry) {
      entry = make(item);
      known.set(key(item), entry);
    }
    // A node is moved only if it must: moving a video stops it.
    if (entry.node === place) place = place.nextElementSibling;
    else parent.insertBefore(entry.node, place);
    update(entry, item);
  }
}

let toastTimer;

/** Says something for a moment. */
export function toast(text) {
  const node = document.getElementById("toast");
  say(node, text);
  node.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => node.classList.remove("shown"), 2200);
}

/** Copies a text; pages over plain HTTP on a LAN have no clipboard API. */
export async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Refused by the browser: the old way may still work.
    }
  }
  const area = h("textarea", { value: text, readOnly: true, className: "offscreen" });
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
