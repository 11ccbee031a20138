/** The dashboard begins here: sign in, frame, pages. */

import { ApiError, get, onSignedOut, request } from "./api.js";
import { fill, h, s } from "./dom.js";
import { start, stop } from "./live.js";
import { failure, waiting } from "./parts.js";
import { phaseTitle } from "./phases.js";
import { follow, leave } from "./router.js";
import { members, on, set, state } from "./state.js";
import * as signin from "./pages/signin.js";
import * as theme from "./theme.js";

const PAGES = [
  {
    name: "",
    title: "Overview",
    needs: "GET /v1/status",
    load: () => import("./pages/overview.js"),
    icon: "M3 10l7-6 7 6v7h-5v-5H8v5H3z",
  },
  {
    name: "rounds",
    title: "Rounds",
    needs: "GET /v1/rounds",
    load: () => import("./pages/rounds.js"),
    icon: "M3 16l4-6 4 3 6-9M3 18h14",
  },
  {
    name: "ledger",
    title: "Ledger",
    needs: "GET /v1/transactions",
    load: () => import("./pages/ledger.js"),
    icon: "M4 5h4v4H4zM12 3h4v4h-4zM12 12h4v4h-4zM8 7h4M8 8l4 6",
  },
  {
    name: "models",
    title: "Models",
    needs: "GET /v1/models",
    load: () => import("./pages/models.js"),
    icon: "M10 3l7 4-7 4-7-4zM3 11l7 4 7-4M3 14l7 4 7-4",
  },
  {
    name: "members",
    title: "Members",
    needs: "GET /v1/members",
    load: () => import("./pages/members.js"),
    icon: "M7 9a3 3 0 100-6 3 3 0 000 6zM2 17c0-3 2-5 5-5s5 2 5 5M14 9a2.5 2.5 0 100-5M15 12c2 0 3 2 3 5",
  },
  {
    name: "health",
    title: "Health",
    needs: "GET /v1/status",
    load: () => import("./pages/health.js"),
    icon: "M2 11h4l2-6 4 11 2-5h4",
  },
  {
    name: "predict",
    title: "Inference",
    needs: "POST /v1/models/{model}/predict",
    load: () => import("./pages/predict.js"),
    icon: "M3 6V3h3M14 3h3v3M17 14v3h-3M6 17H3v-3M10 7a3 3 0 100 6 3 3 0 000-6z",
  },
];

const main = document.getElementById("main");
let again = null;

/** Whether this session's role may call a route; a node says which. */
function may(route) {
  return state.session?.routes?.includes(route) ?? false;
}

async function begin() {
  theme.begin();
  document.querySelector("[data-skip]").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  onSignedOut(() => {
    if (state.session !== null) leaveSession("You were signed out: the session has ended.");
  });
  fill(main, waiting());
  try {
    enter(await get("session", { quiet: true }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) askToSignIn();
    else fill(main, failure(error, begin));
  }
}

function askToSignIn(reason) {
  for (const id of ["top", "side"]) document.getElementById(id).hidden = true;
  for (const id of ["hospital", "top-actions", "side", "announcer"]) fill(document.getElementById(id));
  document.title = "Sign in – Medweave";
  fill(main, signin.show(enter, reason));
  main.querySelector("input")?.focus();
}

async function enter(session) {
  set("session", session);
  frame();
  start({ events: may("GET /v1/events") });
  if (may("GET /v1/members")) await members().catch(() => null);
  again = follow(turn);
}

async function leaveSession(reason) {
  stop();
  leave();
  if (!reason) await request("session", { method: "DELETE", quiet: true }).catch(() => null);
  Object.assign(state, { session: null, status: null, members: null, activity: [] });
  if (again) removeEventListener("hashchange", again);
  askToSignIn(reason);
}

/** The parts round every page. */
function frame() {
  const { session } = state;
  for (const id of ["top", "side"]) document.getElementById(id).hidden = false;
  const button = h("button", {
    type: "button",
    class: "icon-button",
    on: {
      click: () => {
        theme.next();
        dress();
      },
    },
  });
  const dress = () => {
    const { sign, words } = theme.said();
    button.setAttribute("aria-label", words);
    button.title = words;
    fill(button, h("span", { "aria-hidden": "true" }, sign));
  };
  dress();
  const who = h(
    "span",
    { class: "who" },
    h("span", { class: "who-name", title: session.name }, session.name),
    h("span", { class: "who-role" }, session.role),
  );
  const out = h("button", { type: "button", class: "button quiet", on: { click: () => leaveSession() } }, "Sign out");
  fill(document.getElementById("top-actions"), button, who, out);
  fill(document.getElementById("side"), h("ul", {}, PAGES.filter((one) => may(one.needs)).map(tab)));
}

function tab({ name, title, icon }) {
  const picture = s(
    "svg",
    { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" },
    s("path", { d: icon }),
  );
  return h("li", {}, h("a", { href: `#/${name}`, "data-page": name }, picture, h("span", {}, title)));
}

/** Show the page of a place. */
async function turn(place, signal) {
  const found = PAGES.find((one) => one.name === place.name) ?? PAGES[0];
  const first = main.childElementCount === 0 || main.querySelector(".waiting, .sign-in") !== null;
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === found.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!may(found.needs)) {
    fill(main, failure({ status: 403, detail: `The role ${state.session.role} has no access to this page.` }));
    return;
  }
  fill(main, waiting());
  try {
    const module = await found.load();
    const shown = await module.show({ ...place, signal, may });
    if (signal.aborted) return;
    fill(main, shown);
    document.title = `${main.querySelector("h1")?.textContent ?? found.title} – Medweave`;
    scrollTo(0, 0);
    if (!first) main.focus({ preventScroll: true });
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    fill(
      main,
      failure(error, () => turn(place, signal)),
    );
  }
}

const LINKS = { waiting: "Connecting", live: "Live", polling: "Live, by asking", lost: "No answer" };

on("link", (link) => {
  const box = document.getElementById("link-state");
  box.dataset.state = link;
  box.lastElementChild.textContent = LINKS[link];
  if (link === "lost") announce("The node does not answer.");
});

on("status", (status) => {
  document.getElementById("hospital").textContent = status.hospital.name;
});

let announced = "";

on("phase", ({ round, phase }) => announce(`Round ${round}: ${phaseTitle(phase)}`));

/** Tell who listens rather than looks; the same thing once. */
function announce(text) {
  if (text === announced) return;
  announced = text;
  document.getElementById("announcer").textContent = text;
}

begin();
