import { BarChart } from "../../charts/BarChart";
import { compact } from "../../format";
import { Figure } from "../../ui/Figure";
import { Loaded } from "../../ui/Loaded";
import { Empty } from "../../ui/Notice";
import { useUrlState } from "../../url";
import { type MonthFilter, useRejections } from "./queries";

/** Rows that are no trips, by the rule that they broke: of all months, or of the chosen one. */
export function RejectionsFigure() {
  const [parameters] = useUrlState();
  const [, month] = /^[a-z]+-(\d{4}-\d\d)$/.exec(parameters.get("month") ?? "") ?? [];
  const query: MonthFilter = month ? { from_month: month, to_month: month } : {};
  const rejections = useRejections(query);
  return (
    <Figure
      title="Rejected rows by rule"
      subtitle={month ? `Both fleets, ${month}` : "All months and fleets"}
      rows={rejections.data?.rows ?? []}
      request={{ path: "/analytics/rejections", query: { ...query } }}
    >
      <Loaded query={rejections}>
        {({ rows }) => {
          const reasons = new Map(rows.map(({ rule, reason }) => [rule, reason]));
          const bars = [...reasons].map(([rule, reason]) => ({
            name: rule.replaceAll("_", " "),
            title: reason,
            value: rows.filter((row) => row.rule === rule).reduce((sum, { trips }) => sum + trips, 0),
          }));
          return bars.length === 0 ? (
            <Empty>No row has been rejected.</Empty>
          ) : (
            <BarChart label="Rejected rows by rule" bars={bars.sort((a, b) => b.value - a.value)} format={compact} />
          );
        }}
      </Loaded>
    </Figure>
  );
}
