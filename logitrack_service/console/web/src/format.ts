/** Numbers and times as people read them. Times of the API are New York's wall clock with an offset. */

const NUMBER = new Intl.NumberFormat("en-US");
const NEW_YORK = new Intl.DateTimeFormat("sv-SE", {
  timeZone: "America/New_York",
  dateStyle: "short",
  timeStyle: "short",
});
const DAY = new Intl.DateTimeFormat("en-US", { weekday: "short", month: "short", day: "numeric", timeZone: "UTC" });
const INSTANT = new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeStyle: "short" });

export const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export function count(value: number): string {
  return NUMBER.format(value);
}

export function compact(value: number): string {
  if (Math.abs(value) >= 1e6) return `${trim(value / 1e6)}M`;
  if (Math.abs(value) >= 1e4) return `${trim(value / 1e3)}k`;
  return NUMBER.format(Math.round(value * 100) / 100);
}

function trim(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 1 : 0).replace(/\.0$/, "");
}

export function percent(share: number, digits = 0): string {
  return `${(share * 100).toFixed(digits)}%`;
}

/** Returns whole minutes, as hours and minutes from two hours on. */
export function minutes(value: number): string {
  const whole = Math.round(value);
  if (whole < 120) return `${whole} min`;
  return `${Math.floor(whole / 60)} h ${String(whole % 60).padStart(2, "0")}`;
}

/** Returns minutes with their sign, to a tenth. */
export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)} min`;
}

/** Returns the clock time that an API time shows, HH:MM, without converting it to the zone of the browser. */
export function clock(iso: string): string {
  return iso.slice(11, 16);
}

export function day(iso: string): string {
  return DAY.format(new Date(`${iso.slice(0, 10)}T00:00:00Z`));
}

/** Returns an instant in the zone of the browser. */
export function instant(iso: string): string {
  return INSTANT.format(new Date(iso));
}

/** Returns a moment as New York's wall clock, YYYY-MM-DDTHH:MM, the value of a datetime-local field. */
export function newYorkTime(moment: Date): string {
  return NEW_YORK.format(moment).replace(" ", "T");
}

/** Returns how long ago an instant was. */
export function ago(iso: string, now: number = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 90) return "just now";
  if (seconds < 5_400) return `${Math.round(seconds / 60)} minutes ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} hours ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

export function monthsBetween(first: string, last: string): number {
  const [firstYear, firstMonth] = first.split("-").map(Number);
  const [lastYear, lastMonth] = last.split("-").map(Number);
  return ((lastYear ?? 0) - (firstYear ?? 0)) * 12 + (lastMonth ?? 0) - (firstMonth ?? 0);
}
