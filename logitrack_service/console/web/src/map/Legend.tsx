import { CLASSES, type Scale } from "./scale";

/** The classes of a scale with their bounds. */
export function Legend({ scale, title, format }: { scale: Scale; title: string; format: (value: number) => string }) {
  const { breaks } = scale;
  if (breaks.length === 0) return null;
  const steps = breaks.length + 1;
  return (
    <div className="legend">
      <span className="legend-title">{title}</span>
      <ol>
        {Array.from({ length: steps }, (_, index) => {
          const low = breaks[index - 1];
          const high = breaks[index];
          const text =
            low === undefined
              ? `< ${format(high ?? 0)}`
              : high === undefined
                ? `${format(low)} +`
                : `${format(low)}–${format(high)}`;
          return (
            <li key={text}>
              <i className={`q${Math.round((index * (CLASSES - 1)) / breaks.length)}`} />
              {text}
            </li>
          );
        })}
      </ol>
    </div>
  );
}
