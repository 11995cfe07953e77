import { type ReactNode, useId, useState } from "react";
import { type Cell, curlCommand, downloadCsv, type HttpRequest, type Row } from "../api/export";
import { compact } from "../format";

interface Props {
  title: string;
  subtitle?: ReactNode;
  /** The rows that the figure shows; the buttons "Table" and "CSV" give them. */
  rows: readonly Row[];
  /** The request that returned them. */
  request: HttpRequest;
  controls?: ReactNode;
  children: ReactNode;
  wide?: boolean;
}

const MAX_TABLE_ROWS = 300;

/** A chart with its title, its data as a table and as CSV, and its request as a curl command. */
export function Figure({ title, subtitle, rows, request, controls, children, wide = false }: Props) {
  const [shown, setShown] = useState<"chart" | "table" | "curl">("chart");
  const heading = useId();
  const toggle = (what: "table" | "curl") => setShown(shown === what ? "chart" : what);
  return (
    <figure className={wide ? "card wide" : "card"} aria-labelledby={heading}>
      <figcaption>
        <div>
          <h2 id={heading}>{title}</h2>
          {subtitle && <p>{subtitle}</p>}
        </div>
        <div className="figure-actions">
          <button type="button" aria-pressed={shown === "table"} onClick={() => toggle("table")}>
            Table
          </button>
          <button
            type="button"
            disabled={rows.length === 0}
            onClick={() => downloadCsv(title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-"), rows)}
          >
            CSV
          </button>
          <button type="button" aria-pressed={shown === "curl"} onClick={() => toggle("curl")}>
            curl
          </button>
        </div>
      </figcaption>
      {controls}
      {shown === "curl" && <CurlCommand request={request} />}
      {shown === "table" ? <DataTable caption={title} rows={rows} /> : children}
    </figure>
  );
}

function CurlCommand({ request }: { request: HttpRequest }) {
  const [copied, setCopied] = useState(false);
  const command = curlCommand(request, location.origin);
  return (
    <div className="curl">
      <pre>
        <code>{command}</code>
      </pre>
      <p>
        <button
          type="button"
          onClick={() =>
            navigator.clipboard.writeText(command).then(
              () => setCopied(true),
              () => setCopied(false),
            )
          }
        >
          {copied ? "Copied" : "Copy"}
        </button>{" "}
        <code>$TOKEN</code> is an access token from <a href="/docs">/token</a>.
      </p>
    </div>
  );
}

/** Rows as a table; numbers are aligned to the right. */
export function DataTable({ caption, rows }: { caption: string; rows: readonly Row[] }) {
  const columns = Object.keys(rows[0] ?? {});
  return (
    // A region that scrolls must be reachable by keyboard.
    // biome-ignore lint/a11y/noNoninteractiveTabindex: axe's rule scrollable-region-focusable asks for it
    <section className="table-scroll" tabIndex={0} aria-label={caption}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col" className={typeof rows[0]?.[column] === "number" ? "number" : undefined}>
                {column.replaceAll("_", " ")}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, MAX_TABLE_ROWS).map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows of an answer have no identity and do not move
            <tr key={index}>
              {columns.map((column) => (
                <td key={column} className={typeof row[column] === "number" ? "number" : undefined}>
                  {cellText(row[column])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > MAX_TABLE_ROWS && (
        <p className="hint">{`${rows.length - MAX_TABLE_ROWS} more rows: see the CSV.`}</p>
      )}
    </section>
  );
}

function cellText(value: Cell): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : compact(value);
  return String(value);
}
