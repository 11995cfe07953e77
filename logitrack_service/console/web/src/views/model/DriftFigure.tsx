import { compact } from "../../format";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { useDrift } from "./queries";

const MAX_MONTHS = 12;

/** How much each month after the training differs from it, by measure; crossed limits are marked. */
export function DriftFigure() {
  const drift = useDrift({});
  return (
    <Figure
      wide
      title="Drift"
      subtitle="Each month after the training beside the months of the training; ● is beyond its limit"
      rows={drift.data?.rows ?? []}
      request={{ path: "/analytics/drift" }}
    >
      <Loaded query={drift}>
        {({ rows }) => {
          const months = [...new Set(rows.map(({ month }) => month))].sort().slice(-MAX_MONTHS);
          const measures = [...new Set(rows.map(({ fleet, measure }) => `${fleet}: ${measure}`))];
          if (rows.length === 0)
            return <Empty>No month has been compared yet: drift needs months after the training.</Empty>;
          return (
            // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
            <section className="table-scroll" tabIndex={0} aria-label="Drift by measure and month">
              <table className="drift">
                <thead>
                  <tr>
                    <th scope="col">Measure</th>
                    {months.map((month) => (
                      <th key={month} scope="col" className="number">
                        {month}
                      </th>
                    ))}
                    <th scope="col" className="number">
                      Limit
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {measures.map((measure) => {
                    const found = rows.filter((row) => `${row.fleet}: ${row.measure}` === measure);
                    return (
                      <tr key={measure}>
                        <td>{measure}</td>
                        {months.map((month) => {
                          const row = found.find((candidate) => candidate.month === month);
                          return (
                            <td key={month} className={row?.drifted ? "number drifted" : "number"}>
                              {row?.drifted && "● "}
                              {row?.value === null || row?.value === undefined ? "–" : compact(row.value)}
                            </td>
                          );
                        })}
                        <td className="number">{found[0]?.threshold ?? "–"}</td>
                      </tr>
                    );
                  })}
                </tbody>
              </table>
            </section>
          );
        }}
      </Loaded>
    </Figure>
  );
}
