import type { LiveErrorDay } from "./queries";

/** Returns the mean of a day's rows, weighted by their outcomes; null if no row has the value. */
export function dailyMean(rows: readonly LiveErrorDay[], day: string, value: (row: LiveErrorDay) => number | null) {
  const known = rows.flatMap((row) => {
    const error = value(row);
    return row.day === day && error !== null ? [{ error, outcomes: row.outcomes }] : [];
  });
  const outcomes = known.reduce((sum, row) => sum + row.outcomes, 0);
  return outcomes === 0 ? null : known.reduce((sum, row) => sum + row.error * row.outcomes, 0) / outcomes;
}
