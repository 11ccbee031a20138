/** Pages by the part of the address behind `#`: `#/rounds/3`, `#/ledger?from=2&to=4`. */

let current = null;

/** Where the address leads: path in pieces, and parameters. */
export function place() {
  const [path, search = ""] = location.hash.replace(/^#/, "").split("?");
  const pieces = path.split("/").filter(Boolean).map(decoded);
  return { name: pieces[0] ?? "", rest: pieces.slice(1), parameters: new URLSearchParams(search) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Change the parameters of the address without a new page. */
export function remember(parameters) {
  const path = location.hash.split("?")[0] || "#/";
  const search = new URLSearchParams(parameters).toString();
  history.replaceState(null, "", search ? `${path}?${search}` : path);
}

/** Show a page whenever the address changes. `show` gets the place and a signal that ends with the page. */
export function follow(show) {
  const go = () => {
    current?.abort();
    current = new AbortController();
    show(place(), current.signal);
  };
  addEventListener("hashchange", go);
  go();
  return go;
}

/** Leave the page that is shown. */
export function leave() {
  current?.abort();
  current = null;
}
