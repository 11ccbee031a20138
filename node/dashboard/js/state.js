/** What several pages share: the session, the node's status, the members; and who wants to know when it changes. */

import { get } from "./api.js";

const listeners = new Map();

/** Shared facts; read them, change them through `set`. */
export const state = { session: null, status: null, members: null, link: "waiting", activity: [] };

/**
 * Hear of something: `status`, `members`, `link`, `activity`, or an event of the node such as `phase`.
 * @param {string} topic
 * @param {Function} listener
 * @param {AbortSignal} [signal] Ends it.
 */
export function on(topic, listener, signal) {
  if (signal?.aborted) return;
  const heard = listeners.get(topic) ?? new Set();
  heard.add(listener);
  listeners.set(topic, heard);
  signal?.addEventListener("abort", () => heard.delete(listener));
}

/** Tell whoever listens. */
export function tell(topic, value) {
  for (const listener of [...(listeners.get(topic) ?? [])]) listener(value);
}

/** Change a shared fact and tell whoever listens. */
export function set(name, value) {
  state[name] = value;
  tell(name, value);
}

/** Ask the node again what it is doing. */
export async function refreshStatus(options) {
  set("status", await get("status", options));
  return state.status;
}

/** The members, asked once and again whenever one changes. */
export async function members() {
  if (state.members === null) set("members", await get("members"));
  return state.members;
}

on("member", () => {
  state.members = null;
});

/** The name of the hospital behind an account, or the account itself. */
export function nameOf(account) {
  if (!account) return null;
  const wanted = account.toLowerCase();
  const found = state.members?.members.find((member) => member.account.toLowerCase() === wanted);
  return found?.name ?? account;
}
