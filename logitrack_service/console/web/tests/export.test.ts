import { describe, expect, it } from "vitest";
import { csvText, curlCommand } from "../src/api/export";

describe("csvText", () => {
  it("quotes what has a comma, a quote or a line break, and leaves missing values empty", () => {
    const rows = [
      { zone: 1, name: 'Newark, "EWR"', trips: null },
      { zone: 2, name: "two\nlines", trips: 0 },
    ];
    expect(csvText(rows)).toBe('zone,name,trips\n1,"Newark, ""EWR""",\n2,"two\nlines",0\n');
  });
});

describe("curlCommand", () => {
  it("leaves out parameters without a value and encodes the others", () => {
    const request = { path: "/analytics/months", query: { fleet: "green", borough: "Staten Island", zone: null } };
    const command = curlCommand(request, "http://127.0.0.1:8000");
    expect(command).toContain("'http://127.0.0.1:8000/analytics/months?fleet=green&borough=Staten+Island'");
    expect(command).not.toContain("-d ");
  });

  it("sends a body as JSON that a shell passes on unchanged", () => {
    const request = { method: "POST" as const, path: "/analytics/query", body: { sql: "select 'a'" } };
    const command = curlCommand(request, "http://x");
    expect(command).toContain(`-d '{"sql":"select '\\''a'\\''"}'`);
  });
});
