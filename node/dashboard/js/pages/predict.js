/** Inference: an image in, the model's probabilities out, with what it looked at laid over the image. */

import { list, request } from "../api.js";
import { fill, h } from "../dom.js";
import { bytes, duration, percent, plural, short } from "../format.js";
import { badge, card, digest, empty, facts, meter, notice, page, select } from "../parts.js";

const MOST_BYTES = 64 * 1024 * 1024;
const WAIT_SECONDS = 3;

/** The page. */
export async function show({ parameters, signal }) {
  const { rows } = await list("models", "models", { order: "newest" }, 200, { signal });
  const models = rows.filter((model) => model.held !== false).sort((a, b) => b.round - a.round);
  const warning = notice(
    "warn",
    h("strong", {}, "Not a medical device and not a decision aid."),
    " For research only. Do not use what this page says for the care of a patient.",
  );
  if (!models.length)
    return page(
      "Inference",
      "Ask a model about one image.",
      warning,
      card("No model here", {}, empty("This hospital holds no model yet. The first one comes with the first round.")),
    );
  return page(
    "Inference",
    "Ask a model about one image. The image goes to this hospital's node, is not kept, and leaves nothing in the logs.",
    warning,
    asking(models, parameters.get("model"), signal),
  );
}

function asking(models, wanted, signal) {
  let chosen = models.find((model) => model.model === wanted)?.model ?? models[0].model;
  const result = h("div", { "aria-live": "polite" });
  const input = h("input", {
    type: "file",
    id: "image",
    accept: ".png,.jpg,.jpeg,.dcm,.dicom,.npy,image/png,image/jpeg,application/dicom",
    on: { change: () => input.files.length && ask(input.files[0]) },
  });
  const drop = h(
    "div",
    { class: "drop" },
    h("label", { for: "image" }, h("strong", {}, "Choose an image"), " or drop it here"),
    input,
    h("p", { class: "help" }, "PNG, JPEG, DICOM or NumPy, up to 64 MB."),
  );
  const over = (on) => (event) => {
    event.preventDefault();
    drop.classList.toggle("over", on);
  };
  for (const [event, listener] of Object.entries({
    dragenter: over(true),
    dragover: over(true),
    dragleave: over(false),
  }))
    drop.addEventListener(event, listener);
  drop.addEventListener("drop", (event) => {
    over(false)(event);
    const [file] = event.dataTransfer.files;
    if (file) ask(file);
  });
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
      if (file.size > MOST_BYTES)
        throw new Error(`The file has ${bytes(file.size)}; at most ${bytes(MOST_BYTES)} are taken.`);
      const answer = await predicted(chosen, file, mine.signal, result);
      fill(result, shown(answer));
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(
        result,
        card(
          "Result",
          {},
          notice(
            "bad",
            h("strong", {}, error.title ?? "The image could not be used"),
            h("p", { role: "alert" }, error.message),
          ),
        ),
      );
    }
  }

  const choice = select(
    "Model",
    models.map((model) => [
      model.model,
      `${model.round ? `Round ${model.round}` : "First model, untrained"} (${short(model.model)})`,
    ]),
    chosen,
    (value) => {
      chosen = value;
      if (last) ask(last);
    },
  );
  return h("div", { class: "stack" }, card("Image", { tools: choice }, drop), result);
}

/** The answer; while the node is busy with another image, asked again. */
async function predicted(model, file, signal, box) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await (
        await request(`models/${model}/predict`, {
          method: "POST",
          body: file,
          headers: { "Content-Type": "application/octet-stream" },
          signal,
        })
      ).json();
    } catch (error) {
      if (![429, 503].includes(error.status) || attempt >= 5) throw error;
      fill(box, card("Result", {}, h("p", { role: "status" }, `${error.message} Trying again.`)));
      await new Promise((resolve) => setTimeout(resolve, 1000 * (error.after ?? WAIT_SECONDS)));
    }
  }
}

function shown(answer) {
  const pictures = h("div", { class: "pictures" });
  const drawn = answer.slices.map((slice, at) => ({ slice, at })).filter(({ slice }) => slice.saliency);
  const look = (at) => {
    const found = drawn.find((one) => String(one.at) === String(at));
    fill(pictures, found && viewers(found.slice, answer));
  };
  const choice =
    drawn.length > 1 &&
    select(
      "Slice",
      drawn.map(({ at }) => [at, `${at + 1} of ${answer.slices.length}`]),
      drawn[0].at,
      look,
    );
  if (drawn.length) look(drawn[0].at);
  return card(
    "Result",
    { tools: choice },
    h(
      "div",
      { class: "result" },
      pictures,
      h(
        "div",
        {},
        h("h3", {}, answer.slices.length > 1 ? `Mean over ${answer.slices.length} slices` : "Probabilities"),
        probabilities(answer),
        h("p", { class: "help" }, answer.notice),
        h("p", { class: "help" }, answer.caveat),
        facts([
          ["Model", digest(answer.model, { href: `#/models/${answer.model}` })],
          ["Made in", answer.round ? `Round ${answer.round}` : "not trained yet"],
          ["Took", duration(answer.seconds)],
          [
            "Calibration error",
            answer.calibration
              ? `${percent(answer.calibration.error)} on ${plural(answer.calibration.images, "image")}`
              : "not measured",
          ],
        ]),
      ),
    ),
  );
}

function probabilities(answer) {
  const rows = answer.probabilities.map((row, at) => ({ ...row, at })).sort((a, b) => b.probability - a.probability);
  return h(
    "ul",
    { class: "probabilities", "aria-label": "Probabilities" },
    rows.map(({ class: name, probability, at }) => {
      const chosen = at === answer.class;
      const called = answer.thresholds && `called from ${percent(answer.thresholds[at])}`;
      return h(
        "li",
        { class: chosen ? "chosen" : null },
        h("span", {}, name, chosen && [" ", badge("most likely", "busy")]),
        h("span", { class: "number" }, percent(probability)),
        meter(probability, `${name}: ${percent(probability)}`),
        called && h("span", { class: "help" }, called),
      );
    }),
  );
}

const png = (base64) => `data:image/png;base64,${base64}`;

/** The image as the model saw it, and beside it the same with what its answer rests on; a slider fades that in and out. */
function viewers({ saliency }, answer) {
  const name = answer.classes[saliency.class];
  const top = h("img", { src: png(saliency.overlay), alt: "" });
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 100,
    "aria-label": "Strength of the overlay, per cent",
    on: { input: (event) => top.style.setProperty("opacity", String(event.target.value / 100)) },
  });
  return [
    h(
      "figure",
      { class: "viewer" },
      h("div", { class: "layers" }, h("img", { src: png(saliency.image), alt: "The image" })),
      h("figcaption", {}, "The image as the model saw it"),
    ),
    h(
      "figure",
      { class: "viewer" },
      h(
        "div",
        { class: "layers" },
        h("img", { src: png(saliency.image), alt: `What speaks for ${name}, over the image` }),
        top,
      ),
      h("figcaption", {}, `What speaks for ${name} (Grad-CAM), over the image`),
      h("label", { class: "field" }, "Overlay", slider),
    ),
  ];
}
