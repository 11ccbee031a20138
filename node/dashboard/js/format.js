/** Figures and identifiers for people. Everything takes null and shows a dash for it. */

const NONE = "–";
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const HOURS = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** A count: 12,345. */
export const count = (value) => (known(value) ? WHOLE.format(value) : NONE);

/** A share in [0, 1] as per cent with one digit. */
export const percent = (share, digits = 1) => (known(share) ? `${(100 * share).toFixed(digits)} %` : NONE);

/** Bytes in decimal units, as storage is sold: 1.05 MB. */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [size, at] = [value, 0];
  while (size >= 999.5 && at < units.length - 1) [size, at] = [size / 1000, at + 1];
  return `${at === 0 ? size : size.toPrecision(3)} ${units[at]}`;
}

/** Seconds: 0.12 s, 4.5 s, 3 min 20 s, 2 h 5 min, 4 d 3 h. */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const [days, hours, minutes] = [
    Math.floor(seconds / 86400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return `${minutes} min ${Math.floor(seconds % 60)} s`;
}

/** A moment, given in Unix seconds, in the reader's time zone. */
export const moment = (seconds) => (known(seconds) ? CLOCK.format(new Date(1000 * seconds)) : NONE);

/** The time of day of a moment in Unix seconds. */
export const clock = (seconds) => (known(seconds) ? HOURS.format(new Date(1000 * seconds)) : NONE);

/** The beginning and end of a digest, address or CID. */
export function short(text, head = 8, tail = 4) {
  if (!known(text)) return NONE;
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
}

/** A word with a capital. */
export const capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : NONE);

/** "1 round", "2 rounds". */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A name shortened to what fits into a legend or an axis. */
export const brief = (text, most = 28) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
