"""What a page owes to everybody, asked of the page as it is shown: names, roles, order, contrast, room. After WCAG 2.2 AA."""

AUDIT = r"""
() => {
  const wrong = [];
  const seen = (e) => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && e.getClientRects().length > 0;
  const all = (query) => [...document.querySelectorAll(query)].filter(seen);
  const where = (e) => `${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}.${e.getAttribute("class") ?? ""} "${(e.textContent ?? "").trim().slice(0, 40)}"`;
  const byIds = (ids) => ids.split(/\s+/).map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  const named = (e) => (e.getAttribute("aria-label") ?? "").trim() || (e.hasAttribute("aria-labelledby") && byIds(e.getAttribute("aria-labelledby")))
    || (e.labels?.length && [...e.labels].map((l) => l.textContent).join(" ").trim()) || (e.textContent ?? "").trim() || (e.getAttribute("title") ?? "").trim()
    || [...e.querySelectorAll("img[alt]")].map((i) => i.alt).join("").trim() || (e.alt ?? "").trim();

  if (!document.documentElement.lang) wrong.push("no language");
  if (!document.title) wrong.push("no title");
  if (all("h1").length !== 1) wrong.push(`${all("h1").length} headings of level 1`);
  if (all("main").length !== 1) wrong.push("not one main");
  let level = 0;
  for (const heading of all("main h1, main h2, main h3, main h4")) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) wrong.push(`heading jumps from ${level} to ${now}: ${where(heading)}`);
    level = now;
  }
  for (const e of all("button, a[href], input, select, textarea, summary, [role=button], [role=region], [role=group], [role=progressbar], [role=img], nav, aside, section")) {
    if (!named(e)) wrong.push(`no name: ${where(e)}`);
  }
  for (const e of all("img")) if (!e.hasAttribute("alt")) wrong.push(`image without alt: ${where(e)}`);
  for (const e of all("table")) {
    if (!e.caption?.textContent) wrong.push(`table without caption: ${where(e)}`);
    if ([...e.querySelectorAll("th")].some((th) => !th.scope)) wrong.push(`heading cell without scope: ${where(e)}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) wrong.push(`id twice: ${id}`);
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
    for (const id of (e.getAttribute("aria-labelledby") ?? e.getAttribute("aria-describedby") ?? e.getAttribute("for")).split(/\s+/)) {
      if (!document.getElementById(id)) wrong.push(`refers to nothing (${id}): ${where(e)}`);
    }
  }
  for (const e of document.querySelectorAll("[aria-hidden=true]")) if (e.querySelector("a[href], button, input, [tabindex='0']")) wrong.push(`reachable but hidden: ${where(e)}`);
  for (const e of all("button, select, input:not([type=range])")) {
    const box = e.getBoundingClientRect();
    if (Math.min(box.width, box.height) < 24) wrong.push(`smaller than 24 pixels: ${where(e)} ${Math.round(box.width)}x${Math.round(box.height)}`);
  }

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colour = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, under) => top.slice(0, 3).map((value, k) => value * top[3] + under[k] * (1 - top[3]));
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const one = colour(getComputedStyle(at).backgroundColor);
      if (one[3] > 0) layers.push(one);
      if (one[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = (c) => { const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  let looked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !seen(e) || e.closest(".unseen, .announcer, .skip, :disabled, option, title, script, noscript")) continue;
    const style = getComputedStyle(e);
    const inSvg = e.namespaceURI.endsWith("svg");
    const text = colour(inSvg ? style.fill : style.color);
    const under = ground(inSvg ? e.closest("svg") : e);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(over(text, under), under);
    looked += 1;
    if (found < (large ? 3 : 4.5)) wrong.push(`contrast ${found.toFixed(2)}: ${where(e)}`);
  }
  if (looked < 5) wrong.push(`only ${looked} texts on the page`);
  if (document.documentElement.scrollWidth > innerWidth + 1) wrong.push(`wider than the window: ${document.documentElement.scrollWidth} > ${innerWidth}`);
  return [...new Set(wrong)];
}
"""
"""Returns what is wrong, a line each."""

FOCUS = r"""
() => {
  const e = document.activeElement;
  const style = getComputedStyle(e);
  const halo = e.querySelector?.(".halo, rect");
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const marked = halo !== null && halo !== undefined && getComputedStyle(halo).stroke !== "none" && parseFloat(getComputedStyle(halo).strokeWidth) >= 2;
  return { name: (e.getAttribute("aria-label") ?? e.textContent ?? "").trim().slice(0, 60), tag: e.tagName.toLowerCase(), visible: drawn || marked };
}
"""
"""Returns what has the keyboard's focus, and whether that can be seen."""
