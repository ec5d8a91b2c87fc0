// What is on every page of the document, in CSS pixels from the page's corner.
// A region is an element with data-r (its class); a page is a section.pg.
() => {
  const pen = document.createElement("canvas").getContext("2d");
  const blocks = new Map(), inks = new Map();
  const inlines = new Set(["inline", "contents", "ruby", "ruby-text"]);
  const styles = new Map();
  const styleOf = (el) => {
    let s = styles.get(el);
    if (!s) { s = getComputedStyle(el); styles.set(el, s); }
    return s;
  };
  const blockOf = (el) => {
    let e = el;
    while (inlines.has(styleOf(e).display) || styleOf(e).display.endsWith("math")) e = e.parentElement;
    if (!blocks.has(e)) blocks.set(e, blocks.size);
    return blocks.get(e);
  };
  const fonts = new Map();
  const fontOf = (el) => {
    let f = fonts.get(el);
    if (f) return f;
    const s = styleOf(el);
    const caps = s.fontVariantCaps === "small-caps";
    f = { css: `${s.fontStyle} ${s.fontWeight} ${s.fontSize} ${s.fontFamily}`, caps,
          size: parseFloat(s.fontSize), shift: 0 };
    pen.font = f.css;
    const m = pen.measureText("x");
    f.ascent = Math.round(m.fontBoundingBoxAscent);
    f.descent = Math.round(m.fontBoundingBoxDescent);
    fonts.set(el, f);
    return f;
  };
  const inkOf = (font, text) => {
    const key = font.css + font.caps + "\n" + text;
    let m = inks.get(key);
    if (m) return m;
    pen.font = font.css;
    pen.fontVariantCaps = font.caps ? "small-caps" : "normal";
    const t = pen.measureText(text);
    m = [t.actualBoundingBoxLeft, t.width - t.actualBoundingBoxRight,
         t.actualBoundingBoxAscent, t.actualBoundingBoxDescent];
    inks.set(key, m);
    return m;
  };
  const CJK = /[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]/;
  const PARTS = /[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]|[^\s\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]+/g;
  const range = document.createRange();
  const round = (x) => Math.round(x * 100) / 100;

  return JSON.stringify([...document.querySelectorAll("section.pg")].map((page) => {
    const corner = page.getBoundingClientRect();
    const regions = [], index = new Map();
    const clips = new Map();
    const clipOf = (el) => {
      const box = el.closest(".clip") || page;
      if (!clips.has(box)) clips.set(box, box.getBoundingClientRect());
      return clips.get(box);
    };
    const inside = (r, c) => {
      const x = (r.left + r.right) / 2, y = (r.top + r.bottom) / 2;
      return x > c.left && x < c.right && y > c.top && y < c.bottom;
    };
    const put = (r, c) => [
      Math.max(r.left, c.left) - corner.left, Math.max(r.top, c.top) - corner.top,
      Math.min(r.right, c.right) - corner.left, Math.min(r.bottom, c.bottom) - corner.top,
    ].map(round);
    for (const el of page.querySelectorAll("[data-r]")) {
      const clip = clipOf(el);
      const region = { c: el.dataset.r, drawn: [], words: [], f: el.dataset.f || "",
        ink: el.dataset.ink !== undefined };
      index.set(el, region);
      regions.push(region);
      if (region.c === "Figure" || el.dataset.whole !== undefined) {
        for (const r of el.getClientRects())
          if (r.right > clip.left && r.left < clip.right && r.bottom > clip.top && r.top < clip.bottom
              && (inside(r, clip) || el.closest(".bleed"))) region.drawn.push(put(r, clip));
      } else if (region.c === "Table" || region.c === "Form" || el.dataset.ruled !== undefined) {
        for (const e of [el, ...el.querySelectorAll("*")]) {
          if (e.closest("svg") && e.tagName !== "svg") continue;
          const s = styleOf(e);
          const full = (s.backgroundColor !== "rgba(0, 0, 0, 0)" && s.backgroundColor !== "transparent")
            || s.backgroundImage !== "none" || e.tagName === "svg" || e.tagName === "IMG"
            || (s.outlineStyle !== "none");
          const w = ["Top", "Right", "Bottom", "Left"].map((k) =>
            s[`border${k}Style`] === "none" || s[`border${k}Style`] === "hidden"
              || / 0\)$/.test(s[`border${k}Color`]) ? 0 : parseFloat(s[`border${k}Width`]));
          if (!full && !w.some((x) => x)) continue;
          for (const r of e.getClientRects()) {
            if (!inside(r, clip)) continue;
            if (full || (w[0] && w[2]) || (w[1] && w[3])) region.drawn.push(put(r, clip));
            else {
              const add = (l, t, rr, b) =>
                region.drawn.push(put({ left: l, top: t, right: rr, bottom: b }, clip));
              if (w[0]) add(r.left, r.top, r.right, r.top + w[0]);
              if (w[2]) add(r.left, r.bottom - w[2], r.right, r.bottom);
              if (w[1]) add(r.right - w[1], r.top, r.right, r.bottom);
              if (w[3]) add(r.left, r.top, r.left + w[3], r.bottom);
            }
          }
        }
      }
      if (region.c === "Equation")
        for (const e of el.querySelectorAll("math > *, math"))
          for (const r of e.getClientRects())
            if (r.width && r.height && inside(r, clip) && e.tagName !== "math") region.drawn.push(put(r, clip));
    }
    const walker = document.createTreeWalker(page, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const el = node.parentElement;
      const owner = el.closest("[data-r]");
      if (!owner || !node.data.trim() || el.closest("[data-skip]")) continue;
      const region = index.get(owner), clip = clipOf(owner);
      const font = fontOf(el), block = blockOf(el);
      const turned = el.closest("[data-turn]") ? 1 : 0;
      const add = (text, r) => {
        text = text.replace(/\u00ad/g, "");
        if (!text || !inside(r, clip) || r.width <= 0) return;
        let x0 = r.left - corner.left, x1 = r.right - corner.left;
        let y0 = r.top - corner.top, y1 = r.bottom - corner.top;
        const middle = (y0 + y1) / 2;
        let base = turned ? y1 : middle + (font.ascent - font.descent) / 2;
        if (!turned) {
          const [il, ir, ia, id] = inkOf(font, text);
          x0 -= il; x1 -= ir;
          y0 = base - ia; y1 = base + id;
        }
        region.words.push([text, round(x0), round(y0), round(x1), round(y1),
                           round(base), font.size, block, turned]);
      };
      PARTS.lastIndex = 0;
      for (let m = PARTS.exec(node.data); m; m = PARTS.exec(node.data)) {
        range.setStart(node, m.index);
        range.setEnd(node, m.index + m[0].length);
        const rects = [...range.getClientRects()].filter((r) => r.width > 0);
        if (rects.length === 0) continue;
        if (rects.length === 1) { add(m[0], rects[0]); continue; }
        // Broken over lines: letter by letter.
        let text = "", box = null;
        const parts = [];
        for (let i = 0; i < m[0].length; i++) {
          range.setStart(node, m.index + i);
          range.setEnd(node, m.index + i + 1);
          // After a break the letter's first box is the hyphen's before it.
          const r = [...range.getClientRects()].filter((b) => b.width > 0).pop();
          if (!r || m[0][i] === "\u00ad") { text += m[0][i]; continue; }
          if (box && (Math.abs(r.top - box.top) > 2 || r.left > box.right + 3 * font.size
                      || r.right < box.left - 3 * font.size)) {
            parts.push([text, box]); text = ""; box = null;
          }
          text += m[0][i];
          box = box ? { left: Math.min(box.left, r.left), right: Math.max(box.right, r.right),
                        top: r.top, bottom: r.bottom } : r;
          box.width = box.right - box.left;
        }
        if (box) parts.push([text, box]);
        parts.forEach(([t, b], i) => {
          const cut = i + 1 < parts.length && /\u00ad$|[^-\u2010\/]$/.test(t) && styleOf(el).hyphens !== "manual";
          if (cut) {
            pen.font = font.css;
            const w = pen.measureText("\u2010").width;
            b = { left: b.left, right: b.right + w, top: b.top, bottom: b.bottom, width: b.width + w };
            t += "-";
          }
          add(t, b);
        });
      }
    }
    return { width: round(corner.width), height: round(corner.height), regions };
  }));
}
