/** Signing in with a token; the browser keeps no more than a cookie that scripts cannot read. */

import { request } from "../api.js";
import { h } from "../dom.js";

/**
 * The sign-in form.
 * @param {Function} enter Told the session.
 * @param {string} [reason] Why one has to sign in again.
 */
export function show(enter, reason) {
  const field = h("input", {
    id: "token",
    name: "token",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    "aria-describedby": "token-help token-error",
    placeholder: "mw_…",
  });
  const wrong = h("p", { class: "field-error", id: "token-error", role: "alert" }, reason ?? "");
  const go = h("button", { type: "submit", class: "button primary wide" }, "Sign in");

  async function submit(event) {
    event.preventDefault();
    const token = field.value.trim();
    if (!token) {
      wrong.textContent = "Paste a token first.";
      field.focus();
      return;
    }
    go.disabled = true;
    wrong.textContent = "";
    try {
      const answer = await request("session", {
        method: "POST",
        headers: { Authorization: `Bearer ${token}` },
        quiet: true,
      });
      field.value = "";
      enter(await answer.json());
    } catch (error) {
      wrong.textContent = said(error);
      field.focus();
    } finally {
      go.disabled = false;
    }
  }

  return h(
    "div",
    { class: "sign-in" },
    h(
      "div",
      { class: "sign-in-box" },
      h("img", { src: "ui/icon.svg", alt: "", width: 48, height: 48 }),
      h("h1", {}, "Medweave"),
      h("p", { class: "lead" }, "Sign in to this hospital's node."),
      h(
        "form",
        { on: { submit }, novalidate: true },
        h("label", { for: "token" }, "Token"),
        field,
        h(
          "p",
          { class: "help", id: "token-help" },
          "Whoever runs the node makes one: ",
          h("code", {}, "medweave token create"),
        ),
        wrong,
        go,
      ),
    ),
  );
}

function said(error) {
  if (error.status === 401 || error.status === 403)
    return "This token is not valid here. It may be mistyped, expired or revoked.";
  if (error.status === 429) return "Too many attempts. Wait a little and try again.";
  return error.message;
}
