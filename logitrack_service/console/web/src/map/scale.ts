/** Classes of a colour scale. The colours are those of the classes `q0` to `q6` in the style sheet. */

export const CLASSES = 7;

export interface Scale {
  /** Upper bounds of all classes but the last, ascending. */
  breaks: number[];
  classOf: (value: number | null | undefined) => string;
}

/** Returns a scale whose classes hold about equally many of the values, with bounds that are round numbers. */
export function quantileScale(values: readonly number[]): Scale {
  const sorted = [...values].sort((a, b) => a - b);
  const bounds = new Set<number>();
  for (let index = 1; index < CLASSES && sorted.length > 1; index++) {
    bounds.add(roundNumber(sorted[Math.floor((index * sorted.length) / CLASSES)] ?? 0));
  }
  const highest = sorted.at(-1) ?? 0;
  const breaks = [...bounds].filter((bound) => bound > (sorted[0] ?? 0) && bound <= highest).sort((a, b) => a - b);
  return { breaks, classOf: (value) => classOf(breaks, value) };
}

function classOf(breaks: readonly number[], value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  const index = breaks.filter((bound) => value >= bound).length;
  // Fewer classes than colours are spread over all of them.
  return `q${breaks.length === 0 ? 3 : Math.round((index * (CLASSES - 1)) / breaks.length)}`;
}

/** Returns a number rounded to two significant digits, and to halves below 10. */
export function roundNumber(value: number): number {
  if (value === 0) return 0;
  const magnitude = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1);
  const rounded = Math.round(value / magnitude) * magnitude;
  return Number(rounded.toPrecision(3));
}
