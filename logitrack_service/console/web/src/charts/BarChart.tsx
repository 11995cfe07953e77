interface Props {
  label: string;
  bars: readonly { name: string; value: number; title?: string }[];
  format: (value: number) => string;
}

/** Horizontal bars with their names and values. */
export function BarChart({ label, bars, format }: Props) {
  const highest = Math.max(...bars.map(({ value }) => value), 0);
  return (
    <ul className="bars" aria-label={label}>
      {bars.map(({ name, value, title }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: names of a query's rows may repeat
        <li key={`${name} ${index}`} title={title}>
          <span className="bar-name">{name}</span>
          <span className="bar-track" aria-hidden="true">
            <i style={{ width: `${highest > 0 ? Math.max(0, value / highest) * 100 : 0}%` }} />
          </span>
          <span className="bar-value">{format(value)}</span>
        </li>
      ))}
    </ul>
  );
}
