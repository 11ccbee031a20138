/**
 * What happens at the node while the page is open: its events (SSE), and where they cannot be had, its status asked
 * again and again.
 */

import { refreshStatus, set, state, tell } from "./state.js";

const TOPICS = ["phase", "transaction", "transactions", "round", "model", "member", "epoch", "warning"];
const POLL_MS = 2000;
const IDLE_MS = 15000;
const GATHER_MS = 250;
const KEPT = 40;
const LISTEN_AGAIN_MS = 20000;

let begun = false;
let source = null;
let listened = 0;
let timer = null;
let gathering = null;

/**
 * Begin; the link's state is shared as `live`, `polling` or `lost`.
 * @param {{events: boolean}} options Whether this role may hear the node's events.
 */
export function start({ events }) {
  stop();
  begun = true;
  if (events) listen();
  schedule(0);
}

function listen() {
  listened = Date.now();
  source = new EventSource("/v1/events");
  source.addEventListener("open", () => set("link", "live"));
  source.addEventListener("error", () => {
    if (state.link === "live") set("link", "polling");
    schedule(0);
  });
  source.addEventListener("gap", soon);
  for (const topic of TOPICS) source.addEventListener(topic, (event) => heard(topic, event.data));
}

/** End; nothing is asked any more. */
export function stop() {
  begun = false;
  source?.close();
  source = null;
  clearTimeout(timer);
  clearTimeout(gathering);
}

function heard(topic, text) {
  let fact;
  try {
    fact = JSON.parse(text);
  } catch {
    return;
  }
  const at = fact.time ?? Date.now() / 1000;
  if (topic !== "transaction" && topic !== "transactions") {
    set("activity", [{ topic, at, fact }, ...state.activity].slice(0, KEPT));
  }
  tell(topic, fact);
  soon();
}

/** Many events at once are one question. */
function soon() {
  clearTimeout(gathering);
  gathering = setTimeout(() => schedule(0), GATHER_MS);
}

function schedule(delay) {
  clearTimeout(timer);
  timer = setTimeout(ask, delay);
}

async function ask() {
  if (!begun) return;
  const before = state.status;
  try {
    const now = await refreshStatus();
    if (state.link !== "live") set("link", "polling");
    if (source?.readyState === EventSource.CLOSED && Date.now() - listened > LISTEN_AGAIN_MS) listen();
    if (state.link === "polling") tellDifference(before, now);
  } catch (error) {
    if (!begun) return;
    if (error.status === 0) set("link", "lost");
  }
  schedule(state.link === "live" ? IDLE_MS : POLL_MS);
}

/** Without events, what changed between two answers is told as if it had been one. */
function tellDifference(before, now) {
  if (before === null) return;
  const [was, is] = [before.round, now.round];
  if (is && (was?.round !== is.round || was?.phase !== is.phase)) heardByAsking("phase", { ...is });
  if (before.model !== now.model) heardByAsking("model", { model: now.model, round: now.finalised });
  if (before.transactions !== now.transactions) tell("transactions", { count: now.transactions - before.transactions });
}

function heardByAsking(topic, fact) {
  set("activity", [{ topic, at: Date.now() / 1000, fact }, ...state.activity].slice(0, KEPT));
  tell(topic, fact);
}
