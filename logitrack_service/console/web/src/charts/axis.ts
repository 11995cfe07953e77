/** Ticks of an axis: round numbers, about as many as fit. */

const MIN_STEP_SHARE = 0.7; // a step may be so much smaller than asked for: rather some more ticks than half of them

export function ticks(low: number, high: number, wanted: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, wanted);
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step =
    [1, 2, 5, 10].map((factor) => factor * magnitude).find((candidate) => candidate >= rough * MIN_STEP_SHARE) ?? rough;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

/** Returns the bounds of an axis: those of the values, widened to the next ticks; 0 is included if asked for. */
export function domain(values: readonly number[], fromZero: boolean, wanted: number): [number, number] {
  const low = Math.min(...values, ...(fromZero ? [0] : []));
  const high = Math.max(...values);
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) return [Math.min(low, 0), high === 0 ? 1 : high * 1.2];
  const marks = ticks(low, high, wanted);
  const step = (marks[1] ?? high) - (marks[0] ?? low) || high - low;
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}
