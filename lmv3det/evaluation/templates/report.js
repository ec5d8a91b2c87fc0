"use strict";
const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const grid = byId("grid"), dialog = byId("dialog");
const figures = [...grid.querySelectorAll("figure")];
const names = JSON.parse(byId("names").textContent);
const limits = JSON.parse(byId("limits").textContent);
const rows = JSON.parse(byId("rows").textContent);

byId("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// Layers and runs are classes of the grid; threshold and class filters hide single rectangles.
const hidden = new Set();
function filter(boxes) {
  const own = byId("own").checked, given = Number(byId("threshold").value);
  for (const box of boxes) {
    const { s, r, c } = box.dataset;
    const low = s !== undefined && Number(s) < (own ? limits[r][c] : given);
    box.classList.toggle("off", low || hidden.has(box.dataset.c));
  }
}
// Pages with a mistake of the chosen kind and class, from the classes' thresholds on.
function matches(figure) {
  const kind = byId("kind").value, label = byId("of-class").value;
  if (!kind && !label) return true;
  const run = grid.classList.contains("run-1") ? 1 : 0;
  const boxes = figure.querySelectorAll(`rect.missed-${run}, rect.p.r${run}.wrong`);
  return [...boxes].some(({ dataset: { s, k, c } }) =>
    (s === undefined || Number(s) >= limits[run][c]) &&
    (!kind || kind === (k ?? "missed")) && (!label || label === c));
}
function choose() {
  for (const figure of figures) figure.hidden = !matches(figure);
  const left = figures.filter((figure) => !figure.hidden).length;
  byId("with").textContent = left === figures.length ? "" : `${left} of ${figures.length} pages`;
}
function update() {
  byId("score").textContent = Number(byId("threshold").value).toFixed(2);
  filter(grid.querySelectorAll("rect[data-c]"));
  if (dialog.open) enlarge(current);
}
byId("controls").addEventListener("input", (event) => {
  if (event.target.id === "threshold") byId("own").checked = false;
  const { layer, class: number } = event.target.dataset;
  if (layer) grid.classList.toggle("no-" + layer, !event.target.checked);
  if (number) event.target.checked ? hidden.delete(number) : hidden.add(number);
  if (event.target.name === "run") {
    grid.classList.remove("run-0", "run-1");
    grid.classList.add("run-" + event.target.value);
  }
  if (event.target.name === "run" || event.target.closest(".choice")) choose();
  update();
});

let current = 0;
// To the next page that is not hidden, before or after this one.
function turn(by) {
  let place = current;
  do place = (place + by + figures.length) % figures.length;
  while (figures[place].hidden && place !== current);
  enlarge(place);
}
function enlarge(place) {
  current = place;
  const figure = figures[current];
  const sheet = figure.querySelector(".sheet").cloneNode(true);
  const svg = sheet.querySelector("svg");
  const size = svg.viewBox.baseVal.width / 65;
  const holder = byId("enlarged");
  holder.className = grid.className.replace("grid-pages", "");
  holder.replaceChildren(sheet);
  const missed = grid.classList.contains("run-1") ? "missed-1" : "missed-0";
  const alone = grid.classList.contains("no-prediction");
  for (const box of svg.querySelectorAll("rect[data-c]")) {
    const truth = box.dataset.s === undefined;
    if (getComputedStyle(box).display === "none") continue;
    if (truth && !alone && !box.classList.contains(missed)) continue;
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    const [x, y, width] = ["x", "y", "width"].map((name) => Number(box.getAttribute(name)));
    const kind = box.dataset.k;
    text.setAttribute("class", "c" + box.dataset.c);
    text.setAttribute("y", Math.max(y - size * 0.15, size));
    text.setAttribute("font-size", size);
    text.textContent = names[box.dataset.c] + (truth ? "" : " " + Number(box.dataset.s).toFixed(2));
    if (truth && !alone) text.textContent += ": missed";
    if (kind && kind !== "correct") text.textContent += ": " + kind;
    svg.append(text);
    // Not beyond the page's sides, where it would be cut off.
    const long = text.getComputedTextLength(), right = svg.viewBox.baseVal.width;
    const start = truth ? x + width - long : Math.max(x, 0);
    text.setAttribute("text-anchor", "start");
    text.setAttribute("x", Math.max(Math.min(start, right - long), 0));
  }
  byId("dialog-title").textContent = figure.querySelector("figcaption b").textContent;
  const caption = figure.querySelector("figcaption").innerText.split("\n").slice(1).join("; ");
  byId("dialog-text").textContent = caption;
}
// The controls go along into the dialog, and back to their place before the pages.
const controls = byId("controls");
function open(place) {
  if (!dialog.open) {
    byId("enlarged").before(controls);
    dialog.showModal();
  }
  enlarge(place);
}
figures.forEach((figure, place) =>
  figure.querySelector(".open").addEventListener("click", () => open(place)));
byId("close").addEventListener("click", () => dialog.close());
byId("previous").addEventListener("click", () => turn(-1));
byId("next").addEventListener("click", () => turn(1));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  grid.before(controls);
  figures[current].querySelector(".open").focus();
});
dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  if (event.key === "ArrowLeft") turn(-1);
  if (event.key === "ArrowRight") turn(1);
});

// A link to a page that is shown enlarges it.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.to-page");
  const place = link ? figures.indexOf(byId(link.hash.slice(1))) : -1;
  if (place < 0) return;
  event.preventDefault();
  open(place);
});

// The table of all pages, 50 rows at a time.
const step = 50;
let first = 0, found = rows;
function fill() {
  const body = byId("table").tBodies[0];
  body.replaceChildren(...found.slice(first, first + step).map((row) => {
    const line = document.createElement("tr"), head = document.createElement("th");
    head.scope = "row";
    if (row.at(-1)) {
      const link = document.createElement("a");
      link.className = "to-page";
      link.href = "#page-" + row[0];
      link.textContent = row[1];
      head.append(link);
    } else head.textContent = row[1];
    line.append(head, ...row.slice(2, -1).map((value) => {
      const cell = document.createElement("td");
      cell.textContent = value;
      return cell;
    }));
    return line;
  }));
  const last = Math.min(first + step, found.length);
  byId("range").textContent = found.length
    ? `${first + 1} to ${last} of ${found.length}` : "no such file";
  byId("before").disabled = first === 0;
  byId("after").disabled = last >= found.length;
}
byId("before").addEventListener("click", () => { first -= step; fill(); });
byId("after").addEventListener("click", () => { first += step; fill(); });
byId("find").addEventListener("input", (event) => {
  const part = event.target.value.toLowerCase();
  found = rows.filter((row) => row[1].toLowerCase().includes(part));
  first = 0;
  fill();
});
fill();
