/** Asking the node this page came from; nothing else is ever asked. */

/** A refusal by the node, or no answer. `status` is 0 where there was none. */
export class ApiError extends Error {
  constructor(status, title, detail, after = null) {
    super(detail || title);
    Object.assign(this, { name: "ApiError", status, title, detail, after });
  }
}

let signedOut = () => {};

/** What to do when the node no longer knows this session. */
export function onSignedOut(action) {
  signedOut = action;
}

const TRIES = 4;

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });

/**
 * One request. A question the node has no time for just now (429) is asked again after the pause it names.
 * @param {string} path Below `/v1/`.
 * @param {{method?: string, json?: Object, body?: Blob, headers?: Object, signal?: AbortSignal, quiet?: boolean}} [options]
 *   `quiet`: a refused session is the caller's business.
 * @returns {Promise<Response>} An answer of 2xx.
 */
export async function request(path, { method = "GET", json, body, headers = {}, signal, quiet = false } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(path, { method, json, body, headers, signal, quiet });
    } catch (error) {
      if (method !== "GET" || error.status !== 429 || attempt === TRIES) throw error;
      await pause(1000 * (error.after ?? 1) + 200 * Math.random(), signal);
    }
  }
}

async function once(path, { method, json, body, headers, signal, quiet }) {
  const sent = json === undefined ? body : JSON.stringify(json);
  const kind = json === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(`/v1/${path}`, {
      method,
      body: sent,
      signal,
      headers: { ...kind, ...headers },
      credentials: "same-origin",
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "No answer", "The node does not answer. It may be stopped or restarting.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !quiet) signedOut();
  const after = Number(answer.headers.get("Retry-After")) || null;
  throw new ApiError(answer.status, problem.title ?? answer.statusText, problem.detail ?? "", after);
}

/** A JSON answer. */
export async function get(path, options) {
  return (await request(path, options)).json();
}

/** A JSON answer, or `instead` where the node has no such thing or this role may not see it. */
export async function getOr(path, instead, options) {
  try {
    return await get(path, options);
  } catch (error) {
    if (error instanceof ApiError && [403, 404, 405, 503].includes(error.status)) return instead;
    throw error;
  }
}

/** Query parameters; those without a value are left out. */
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/**
 * The rows of a list, page after page.
 * @param {string} path The list.
 * @param {string} key Name of the rows in the answer.
 * @param {Object} parameters Filters.
 * @param {number} most How many rows are enough.
 * @returns {Promise<{rows: Object[], more: boolean}>}
 */
export async function list(path, key, parameters = {}, most = 500, options = {}) {
  const rows = [];
  let cursor = null;
  do {
    const page = await get(query(path, { ...parameters, limit: Math.min(500, most - rows.length), cursor }), options);
    rows.push(...page[key]);
    cursor = page[key].length ? (page.next ?? null) : null;
  } while (cursor !== null && rows.length < most);
  return { rows, more: cursor !== null };
}

/** Give the reader a file of the node's to keep. */
export async function download(path, name) {
  const url = URL.createObjectURL(await (await request(path)).blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
