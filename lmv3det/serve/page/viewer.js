// One page with its regions, and the list of them.
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Black or white, whichever reads better on a colour (relative luminance of WCAG).
function inkOn(color) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const value = parseInt(color.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

class Viewer {
  // classes: Map of name to {color, …}; sheet, list: elements to fill; detail: of the selected
  // region, on screens where the list is not beside the page.
  constructor(classes, sheet, list, detail) {
    this.classes = classes;
    this.sheet = sheet;
    this.list = list;
    this.detail = detail;
    this.page = null;
    this.threshold = 0.3;
    this.hidden = new Set();
    this.layers = { regions: true, labels: true, order: false, lines: false };
    this.selected = null;
    new ResizeObserver(() => this.page && this.draw()).observe(sheet);
  }

  color(name) {
    return this.classes.get(name)?.color ?? "#5a5a5a";
  }

  // The regions of a page that are shown, those of the document in reading order first.
  shown(page) {
    const kept = page.detections.filter(
      (region) => region.score >= this.threshold && !this.hidden.has(region.category));
    return kept.sort((a, b) => (a.order ?? 1e9) - (b.order ?? 1e9) || b.score - a.score);
  }

  show(page) {
    this.selected = this.svg = null;
    this.select(null);
    this.page = page;
    this.sheet.replaceChildren();
    this.sheet.style.aspectRatio = `${page.width} / ${page.height}`;
    this.image = element("img", { alt: `Page ${page.page} of ${page.file}`, decoding: "async" });
    this.image.src = page.picture;
    this.svg = shape("svg", {
      viewBox: `0 0 ${page.width} ${page.height}`, preserveAspectRatio: "none",
      "aria-hidden": "true",
    });
    this.sheet.append(this.image, this.svg);
    this.update();
  }

  update() {
    this.draw();
    this.fill();
  }

  draw() {
    const { page, layers } = this;
    const scale = page.width / (this.sheet.clientWidth || page.width); // page pixels a screen pixel
    const regions = this.shown(page);
    const parts = [];
    if (layers.lines) {
      for (const { bbox: [x, y, width, height] } of page.text_lines ?? []) {
        parts.push(shape("rect", { class: "line", x, y, width, height }));
      }
    }
    if (layers.regions) {
      const area = ({ bbox }) => bbox[2] * bbox[3];
      for (const region of [...regions].sort((a, b) => area(b) - area(a))) {
        parts.push(this.box(region));
      }
    }
    if (layers.regions && layers.labels) {
      for (const region of regions) parts.push(this.label(region, scale));
    }
    if (layers.order) {
      const ordered = regions.filter((region) => region.order !== undefined);
      ordered.forEach((region, place) => parts.push(this.number(region, place + 1, scale)));
    }
    this.svg.replaceChildren(...parts);
  }

  box(region) {
    const [x, y, width, height] = region.bbox;
    const box = shape("rect", { class: "region", x, y, width, height });
    box.style.setProperty("--c", this.color(region.category));
    box.classList.toggle("weak", region.order === undefined);
    box.classList.toggle("shown", region === this.selected);
    const title = shape("title", {});
    title.textContent = `${region.category} ${region.score.toFixed(2)}`;
    box.append(title);
    box.addEventListener("click", () => this.select(region, true));
    return box;
  }

  label(region, scale) {
    const [x, y] = region.bbox;
    const color = this.color(region.category), size = 11 * scale;
    const words = `${region.category} ${region.score.toFixed(2)}`;
    const width = (0.58 * words.length + 0.8) * size, height = 1.35 * size;
    const left = Math.max(0, Math.min(x, this.page.width - width));
    const top = y >= height ? y - height : y;
    const group = shape("g", { class: "label" });
    group.style.setProperty("--c", color);
    const text = shape("text", {
      x: left + 0.4 * size, y: top + 1.02 * size, "font-size": size, fill: inkOn(color),
      textLength: width - 0.8 * size, lengthAdjust: "spacingAndGlyphs",
    });
    text.textContent = words;
    group.append(shape("rect", { x: left, y: top, width, height }), text);
    return group;
  }

  number(region, place, scale) {
    const [x, y, width, height] = region.bbox;
    const radius = 11 * scale;
    const cx = Math.min(Math.max(x + width / 2, radius), this.page.width - radius);
    const cy = Math.min(Math.max(y + height / 2, radius), this.page.height - radius);
    const group = shape("g", { class: "number" });
    const text = shape("text", { x: cx, y: cy + 4 * scale, "font-size": 12 * scale });
    text.textContent = place;
    group.append(shape("circle", { cx, cy, r: radius }), text);
    return group;
  }

  fill() {
    let place = 0;
    const items = this.shown(this.page).map((region) => {
      const number = region.order === undefined ? "" : String(++place);
      const button = element("button", { type: "button", "aria-pressed": region === this.selected },
        element("span", { className: "place", title: number && "place in the reading order",
          textContent: number || "–" }),
        element("b", { textContent: region.category }),
        element("span", { className: "count", textContent: region.score.toFixed(2) }));
      if (region.text) button.append(element("span", { className: "text", textContent: region.text }));
      button.style.setProperty("--c", this.color(region.category));
      button.addEventListener("click", () => this.select(region, false));
      button.region = region;
      return element("li", {}, button);
    });
    if (!items.length) {
      items.push(element("li", { className: "soft", textContent: "Nothing is shown here." }));
    }
    this.list.replaceChildren(...items);
  }

  // A second click takes the selection away.
  select(region, scroll) {
    this.selected = this.selected === region ? null : region;
    this.detail.replaceChildren();
    if (this.svg) this.draw();
    for (const button of this.list.querySelectorAll("button")) {
      const pressed = button.region === this.selected;
      button.setAttribute("aria-pressed", pressed);
      if (pressed && scroll && this.list.scrollHeight > this.list.clientHeight) {
        button.scrollIntoView({ block: "nearest" });
      }
    }
    if (!this.selected) return;
    const { category, score, text } = region;
    this.detail.append(element("b", { textContent: `${category} ${score.toFixed(2)}` }),
      element("div", { textContent: text ?? "" }));
    this.detail.style.setProperty("--c", this.color(category));
  }

  // The page as JSON of the API, with what is shown alone.
  result(page) {
    const { picture, ...rest } = page;
    return { ...rest, detections: this.shown(page) };
  }
}

export { Viewer, element };
