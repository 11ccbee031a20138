/** Light, dark, or as the machine says. The choice stays in this browser. */

const KEY = "medweave.theme";
const CHOICES = ["auto", "light", "dark"];
const SAID = { auto: "Theme: automatic", light: "Theme: light", dark: "Theme: dark" };
const SIGNS = { auto: "◐", light: "☀", dark: "☾" };

function stored() {
  try {
    const choice = localStorage.getItem(KEY);
    return CHOICES.includes(choice) ? choice : "auto";
  } catch {
    return "auto";
  }
}

function store(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // private browsing: the choice lasts as long as the page
  }
}

/** Put the stored choice in force. */
export function begin() {
  document.documentElement.dataset.theme = stored();
}

/** Go on to the next choice. */
export function next() {
  const root = document.documentElement;
  root.dataset.theme = CHOICES[(CHOICES.indexOf(root.dataset.theme) + 1) % CHOICES.length];
  store(root.dataset.theme);
}

/** What the button says now: a sign, and words for who does not see it. */
export function said() {
  const choice = document.documentElement.dataset.theme;
  return { sign: SIGNS[choice], words: SAID[choice] };
}
