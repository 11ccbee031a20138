/** Inference: an image in, the model's probabilities out, with what it looked at laid over the image. */

import { list, query, request } from "../api.js";
import { fill, h } from "../dom.js";
import { bytes, percent, short } from "../format.js";
import { badge, card, digest, empty, facts, meter, notice, page, select } from "../parts.js";

const MOST_BYTES = 64 * 1024 * 1024;
const TYPES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", dcm: "application/dicom", dicom: "application/dicom", npy: "application/x-npy" };
const WAIT_SECONDS = 3;

/** The page. */
export async function show({ parameters, signal }) {
  const { rows } = await list("models", "models", { order: "newest" }, 200, { signal });
  const models = rows.filter((model) => model.held !== false).sort((a, b) => b.round - a.round);
  const warning = notice("warn", h("strong", {}, "Not a medical device and not a decision aid."), " For research only. Do not use what this page says for the care of a patient.");
  if (!models.length) return page("Inference", "Ask a model about one image.", warning, card("No model here", {}, empty("This hospital holds no model yet. The first one comes with the first round.")));
  return page("Inference", "Ask a model about one image. The image goes to this hospital's node, is not kept, and leaves nothing in the logs.", warning, asking(models, parameters.get("model"), signal));
}

function asking(models, wanted, signal) {
  let chosen = models.find((model) => model.model === wanted)?.model ?? models[0].model;
  const result = h("div", { "aria-live": "polite" });
  const input = h("input", { type: "file", id: "image", accept: ".png,.jpg,.jpeg,.dcm,.dicom,.npy,image/png,image/jpeg,application/dicom", on: { change: () => input.files.length && ask(input.files[0]) } });
  const drop = h("div", { class: "drop" },
    h("label", { for: "image" }, h("strong", {}, "Choose an image"), " or drop it here"), input,
    h("p", { class: "help" }, "PNG, JPEG, DICOM or NumPy, up to 64 MB."));
  const over = (on) => (event) => { event.preventDefault(); drop.classList.toggle("over", on); };
  for (const [event, listener] of Object.entries({ dragenter: over(true), dragover: over(true), dragleave: over(false) })) drop.addEventListener(event, listener);
  drop.addEventListener("drop", (event) => { over(false)(event); const [file] = event.dataTransfer.files; if (file) ask(file); });
  let running = null;
  let last = null;

  async function ask(file) {
    last = file;
    running?.abort();
    running = new AbortController();
    const mine = running;
    signal.addEventListener("abort", () => mine.abort(), { once: true });
    fill(result, card("Result", {}, h("p", { role: "status" }, "The model looks at the image…")));
    try {
      if (file.size > MOST_BYTES) throw new Error(`The file has ${bytes(file.size)}; at most ${bytes(MOST_BYTES)} are taken.`);
      const answer = await predicted(chosen, file, mine.signal, result);
      const own = file.type.startsWith("image/") ? URL.createObjectURL(file) : null;
      if (own) signal.addEventListener("abort", () => URL.revokeObjectURL(own), { once: true });
      fill(result, shown(answer, own));
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(result, card("Result", {}, notice("bad", h("strong", {}, error.title ?? "The image could not be used"), h("p", { role: "alert" }, error.message))));
    }
  }

  const choice = select("Model", models.map((model) => [model.model, `${model.round ? `Round ${model.round}` : "First model, untrained"} (${short(model.model)})`]), chosen, (value) => { chosen = value; if (last) ask(last); });
  return h("div", { class: "stack" }, card("Image", { tools: choice }, drop), result);
}

/** The answer; while the node is busy with another image, asked again. */
async function predicted(model, file, signal, box) {
  const kind = file.type || TYPES[file.name.split(".").pop().toLowerCase()] || "application/octet-stream";
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await (await request(query(`models/${model}/predict`, { saliency: true }), { method: "POST", body: file, headers: { "Content-Type": kind }, signal })).json();
    } catch (error) {
      if (![429, 503].includes(error.status) || attempt >= 5) throw error;
      fill(box, card("Result", {}, h("p", { role: "status" }, `${error.message} Trying again.`)));
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.after ?? WAIT_SECONDS)));
    }
  }
}

function shown(answer, own) {
  const rows = [...answer.probabilities].sort((a, b) => b.probability - a.probability);
  const bars = h("ul", { class: "probabilities", "aria-label": "Probabilities" }, rows.map((row) => {
    const chosen = row.class === answer.class;
    return h("li", { class: chosen ? "chosen" : null }, h("span", {}, row.class, chosen && [" ", badge("answer", "busy")]), h("span", { class: "number" }, percent(row.probability)), meter(row.probability, `${row.class}: ${percent(row.probability)}`));
  }));
  const image = answer.image ? png(answer.image) : own;
  return card("Result", {}, h("div", { class: "result" },
    image && viewer(image, null, "The image as the model saw it"),
    answer.saliency && viewer(image, png(answer.saliency), "What the answer rests on most (Grad-CAM), over the image"),
    h("div", {}, h("h3", {}, "Probabilities"), bars, answer.caveat && h("p", { class: "help" }, answer.caveat), facts([["Model", digest(answer.model)], ["Thresholds", answer.thresholds ? Object.entries(answer.thresholds).map(([name, value]) => `${name} ${percent(value)}`).join(", ") : null]]))));
}

const png = (base64) => `data:image/png;base64,${base64}`;

function viewer(image, overlay, words) {
  const top = overlay && h("img", { src: overlay, alt: "", style: { opacity: "0.6" } });
  const slider = overlay && h("input", { type: "range", min: 0, max: 100, value: 60, "aria-label": "Opacity of the overlay, per cent", on: { input: (event) => top.style.setProperty("opacity", String(event.target.value / 100)) } });
  return h("figure", { class: "viewer" }, h("div", { class: "layers" }, image && h("img", { src: image, alt: words }), top), h("figcaption", {}, words), slider && h("label", { class: "field" }, "Overlay", slider));
}
