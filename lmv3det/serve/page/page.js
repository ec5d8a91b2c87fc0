import { Viewer, element } from "/viewer.js";

const byId = (id) => document.getElementById(id);
const root = document.documentElement;
const entries = []; // of the queue: {file, name, state, total, pages, …}
let model = null, viewer = null, current = null, running = false;

byId("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

const say = (text) => { byId("status").textContent = text; };
const megabytes = (bytes) => `${+(bytes / 1e6).toPrecision(2)} MB`;
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Files: chosen, dropped, pasted.

function add(files) {
  for (const file of files) {
    const entry = { file, name: file.name || "pasted image", state: "waiting", total: 0, pages: [],
      note: "waiting", password: "" };
    if (file.size === 0) fail(entry, "The file is empty: send an image or a PDF.");
    else if (file.size > model.max_file_bytes) {
      fail(entry, `The file is larger than ${megabytes(model.max_file_bytes)}.`);
    }
    entries.push(entry);
    makeItem(entry);
  }
  document.body.classList.toggle("some", entries.length > 0);
  byId("queue").hidden = entries.length === 0;
  run();
}

function fail(entry, sentence) {
  entry.state = "failed";
  entry.note = sentence;
  say(`${entry.name}: ${sentence}`);
}

byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) add(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  root.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) root.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  root.classList.remove("over");
  add(event.dataTransfer.files);
});

// The queue: one file at a time.

function makeItem(entry) {
  const open = element("button", { type: "button", className: "name", textContent: entry.name,
    disabled: true });
  open.addEventListener("click", () => show(entry.pages[0], true));
  const remove = element("button", { type: "button", textContent: "Remove",
    "aria-label": `Remove ${entry.name}` });
  remove.addEventListener("click", () => drop(entry));
  entry.item = element("li", {}, open, remove,
    element("progress", { "aria-label": `Progress of ${entry.name}` }),
    element("span", { className: "state" }));
  byId("list").append(entry.item);
  refresh(entry);
}

function refresh(entry) {
  const [open, , progress] = entry.item.children;
  entry.item.className = entry.state;
  open.disabled = entry.pages.length === 0;
  entry.item.querySelector(".state").textContent = entry.note;
  progress.hidden = entry.state !== "working";
  if (entry.total) {
    progress.max = entry.total;
    progress.value = entry.done;
  } else progress.removeAttribute("value");
}

function drop(entry) {
  entry.stop?.abort();
  const place = entries.indexOf(entry);
  entries.splice(place, 1);
  entry.item.remove();
  byId("queue").hidden = entries.length === 0;
  document.body.classList.toggle("some", entries.length > 0);
  const left = entries.flatMap((other) => other.pages);
  if (left.length === 0) {
    current = null;
    byId("viewer").hidden = true;
  } else if (!left.includes(current)) show(left[0]);
  else strip();
  (entries[Math.min(place, entries.length - 1)]?.item.querySelector("button:not(:disabled)")
    ?? byId("choose")).focus();
}

async function run() {
  if (running) return;
  running = true;
  for (let entry; (entry = entries.find((other) => other.state === "waiting"));) {
    entry.state = "working";
    entry.stop = new AbortController();
    try {
      await send(entry);
      entry.state = entry.pages.length ? "done" : "failed";
    } catch (error) {
      if (error.name === "AbortError") continue;
      const lost = error instanceof TypeError;
      fail(entry, lost ? "The server cannot be reached." : error.message);
      if (/password|encrypted/.test(error.message)) askPassword(entry);
    }
    refresh(entry);
  }
  running = false;
}

async function send(entry) {
  const body = new FormData();
  body.append("file", entry.file, entry.name);
  if (entry.password) body.append("password", entry.password);
  note(entry, "sending");
  const query = "format=jsonl&picture=true&text_lines=true";
  const answer = await fetch(`/v1/detect?${query}`,
    { method: "POST", body, signal: entry.stop.signal });
  if (answer.status === 429) {
    const seconds = Number(answer.headers.get("Retry-After")) || 2;
    note(entry, `the server is busy, next try in ${seconds} s`);
    await pause(seconds);
    if (entry.stop.signal.aborted) throw new DOMException("removed", "AbortError");
    return send(entry);
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.error ?? `The server answered with ${answer.status}.`);
  }
  let errors = 0, given = "";
  entry.done = 0;
  for await (const line of lines(answer.body)) {
    if (line.pages !== undefined) {
      entry.total = line.pages;
      note(entry, `page 0 of ${line.pages}`);
    } else if (line.page === undefined) {
      given = line.error;
    } else {
      entry.done += 1;
      if (line.error) {
        errors += 1;
        given = line.error;
      } else {
        line.entry = entry;
        entry.pages.push(line);
        if (!current) show(line);
        else strip();
      }
      note(entry, `page ${entry.done} of ${entry.total}`);
    }
  }
  if (entry.done < entry.total && !given) given = "The server stopped before the end.";
  if (entry.total <= 1 && given) throw new Error(given);
  const count = entry.pages.length;
  const done = `${count} of ${entry.total} ${entry.total === 1 ? "page" : "pages"} done`;
  note(entry, given ? `${done}. ${errors ? `${errors} could not be read: ` : ""}${given}` : done);
}

function note(entry, text) {
  entry.note = text;
  say(`${entry.name}: ${text}`);
  refresh(entry);
}

async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    yield* parts.filter(Boolean).map((line) => JSON.parse(line));
  }
}

function askPassword(entry) {
  const input = element("input", { type: "password", autocomplete: "off" });
  const form = element("form", {}, element("label", {}, "Password of the PDF", input),
    element("button", { textContent: "Try again" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    entry.password = input.value;
    entry.state = "waiting";
    form.remove();
    refresh(entry);
    // What had the focus has gone; without this the keyboard would begin at the top of the page.
    (entry.item.querySelector("button:not(:disabled)") ?? byId("choose")).focus();
    run();
  });
  entry.item.append(form);
  if (entry.password) input.focus(); // it was wrong
}

// The viewer.

function show(page, focus = false) {
  current = page;
  byId("viewer").hidden = false;
  const { entry } = page;
  byId("page-title").textContent = entry.total > 1
    ? `${entry.name}, page ${page.page} of ${entry.total}` : entry.name;
  const lines = page.text_lines?.length ?? 0;
  byId("lines").disabled = lines === 0;
  byId("lines").parentElement.title = lines ? "" : "no text of this page is known";
  viewer.show(page);
  countClasses();
  strip();
  if (focus) byId("page-title").focus();
}

function strip() {
  const pages = entries.flatMap((entry) => entry.pages);
  const holder = byId("strip");
  for (const page of pages) {
    page.button ??= thumbnail(page);
    page.button.setAttribute("aria-current", page === current);
  }
  const buttons = pages.map((page) => page.button);
  if (buttons.length !== holder.children.length || buttons.some((b, k) => b !== holder.children[k])) {
    holder.replaceChildren(...buttons);
  }
  holder.hidden = pages.length < 2;
  if (current?.button) { // without moving the page itself
    const { offsetLeft: left, offsetWidth: width } = current.button;
    const start = left - holder.offsetLeft;
    if (start < holder.scrollLeft || start + width > holder.scrollLeft + holder.clientWidth) {
      holder.scrollLeft = start - 20;
    }
  }
  const place = pages.indexOf(current);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place === pages.length - 1;
  byId("previous").hidden = byId("next").hidden = pages.length < 2;
  byId("scope").parentElement.hidden = false;
}

function thumbnail(page) {
  const image = element("img", { alt: "", loading: "lazy", decoding: "async" });
  image.src = page.picture;
  const button = element("button", { type: "button",
    "aria-label": `${page.file}, page ${page.page}` }, image, String(page.page));
  button.addEventListener("click", () => show(page));
  return button;
}

function step(by) {
  const pages = entries.flatMap((entry) => entry.pages);
  const page = pages[pages.indexOf(current) + by];
  if (page) show(page);
}
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  if (!current || event.target.matches("input, select") || event.ctrlKey || event.metaKey
    || event.altKey) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});

byId("controls").addEventListener("input", (event) => {
  const { layer } = event.target.dataset;
  if (layer) viewer.layers[layer] = event.target.checked;
  else {
    viewer.threshold = Number(event.target.value);
    byId("score").textContent = viewer.threshold.toFixed(2);
    countClasses();
  }
  viewer.update();
});

function makeClasses() {
  for (const { name, color } of model.classes) {
    const box = element("input", { type: "checkbox", checked: true });
    const label = element("label", {}, box, element("span", { className: "swatch" }), name,
      element("span", { className: "count" }));
    label.style.setProperty("--c", color);
    label.dataset.name = name;
    box.addEventListener("input", () => {
      if (box.checked) viewer.hidden.delete(name);
      else viewer.hidden.add(name);
      viewer.update();
    });
    byId("classes").append(label);
  }
}

function countClasses() {
  for (const label of byId("classes").querySelectorAll("label")) {
    const found = current.detections.filter((region) =>
      region.category === label.dataset.name && region.score >= viewer.threshold);
    label.querySelector(".count").textContent = found.length;
  }
}

// Downloads.

byId("downloads").addEventListener("click", async (event) => {
  const { format } = event.target.dataset;
  if (!format) return;
  event.target.disabled = true;
  try {
    await download(format);
  } catch (error) {
    say(error instanceof TypeError ? "The server cannot be reached." : error.message);
  }
  event.target.disabled = false;
  event.target.focus();
});

async function download(format) {
  const all = byId("scope").value === "all";
  const pages = all ? entries.flatMap((entry) => entry.pages) : current.entry.pages;
  const name = all && entries.length > 1 ? "pages" : current.entry.name;
  const shown = [];
  for (const page of pages) {
    const { entry, button, ...result } = viewer.result(page);
    if (format === "markdown" || format === "html") {
      result.detections = await withPictures(page, result.detections);
    }
    if (format !== "json") delete result.text_lines;
    shown.push(result);
  }
  const content = JSON.stringify({ file: name, pages: shown }, null, format === "json" ? 1 : 0);
  const stem = name.replace(/\.[^.]*$/, "") || name;
  if (format === "json") {
    save(new Blob([content], { type: "application/json" }), `${stem}.json`);
    return;
  }
  const answer = await fetch(`/v1/convert?format=${format}`,
    { method: "POST", body: content, headers: { "Content-Type": "application/json" } });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const suffix = { markdown: ".md", html: ".html", coco: ".coco.json" }[format];
  save(await answer.blob(), stem + suffix);
}

// Regions that a document shows as pictures, cut out of the page.
async function withPictures(page, regions) {
  const image = new Image();
  image.src = page.picture;
  await image.decode();
  const scale = image.naturalWidth / page.width;
  return regions.map((region) => {
    const isPicture = model.classes.find(({ name }) => name === region.category)?.picture;
    if (region.order === undefined || (region.text && !isPicture)) return region;
    const [x, y, width, height] = region.bbox.map((value) => value * scale);
    const canvas = element("canvas", { width: Math.max(1, Math.round(width)),
      height: Math.max(1, Math.round(height)) });
    canvas.getContext("2d").drawImage(image, -x, -y);
    return { ...region, picture: canvas.toDataURL("image/jpeg", 0.9) };
  });
}

function save(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`${name} is saved.`);
}

// Start.

try {
  model = await (await fetch("/v1/model")).json();
  byId("model").textContent = `${model.classes.length} classes, found by ${model.model} on `
    + `${model.device}. lmv3det ${model.version}.`;
  byId("allowed").textContent = `Up to ${megabytes(model.max_file_bytes)} and `
    + `${model.max_pages} pages each.`;
  byId("threshold").min = Math.min(0.3, model.score_threshold).toFixed(2);
  viewer = new Viewer(new Map(model.classes.map((one) => [one.name, one])),
    byId("sheet"), byId("regions"), byId("detail"));
  makeClasses();
  if (innerWidth < 700) { // little room beside the boxes
    byId("controls").querySelector("[data-layer=labels]").checked = false;
    viewer.layers.labels = false;
  }
} catch {
  say("The server cannot be reached: load the page again.");
  byId("choose").disabled = true;
}
