/** Rows as CSV and requests as curl commands: what each figure of the console hands on. */

export type Cell = string | number | boolean | null | undefined;
export type Row = Record<string, Cell>;

export interface HttpRequest {
  method?: "GET" | "POST";
  path: string;
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
}

export function csvText(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  return `${lines.map((line) => line.map(csvCell).join(",")).join("\n")}\n`;
}

function csvCell(value: Cell): string {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function curlCommand(request: HttpRequest, origin: string): string {
  const query = new URLSearchParams(
    Object.entries(request.query ?? {}).flatMap(([name, value]) =>
      value === undefined || value === null || value === "" ? [] : [[name, String(value)]],
    ),
  ).toString();
  const address = `${origin}${request.path}${query && `?${query}`}`;
  const parts = [`curl ${shellQuote(address)}`, '-H "Authorization: Bearer $TOKEN"'];
  if (request.method === "POST") {
    parts.push("-H 'Content-Type: application/json'", `-d ${shellQuote(JSON.stringify(request.body))}`);
  }
  return parts.join(" \\\n  ");
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function downloadCsv(name: string, rows: readonly Row[]): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csvText(rows)], { type: "text/csv" }));
  link.download = `${name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1_000);
}
