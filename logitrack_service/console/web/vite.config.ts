import { readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const REFERENCE = join(import.meta.dirname, "../../../logitrack_assets/reference");
const OUT = join(import.meta.dirname, "../built");
const SERVICE = process.env.LOGITRACK_CONSOLE_SERVICE ?? "http://127.0.0.1:8000"; // what `npx vite` proxies requests to

/** Provides the module `virtual:zones`: outlines and names of the taxi zones, from the files that the model uses. */
function zones(): Plugin {
  const id = "virtual:zones";
  return {
    name: "logitrack-zones",
    resolveId: (source) => (source === id ? `\0${id}` : null),
    load(source) {
      if (source !== `\0${id}`) return null;
      const { arcs, objects, transform } = JSON.parse(readFileSync(join(REFERENCE, "zones.topojson"), "utf8"));
      const shapes = objects.zones.geometries.map(
        (shape: { id: number; type: string; arcs: number[][] | number[][][] }) => [
          shape.id,
          shape.type === "Polygon" ? [shape.arcs] : shape.arcs,
        ],
      );
      const names = readFileSync(join(REFERENCE, "zones.csv"), "utf8")
        .trim()
        .split("\n")
        .slice(1)
        .map((line) => line.split(","))
        .map(([number, borough, name]) => [Number(number), name, borough]);
      return `export const outlines = JSON.parse(${JSON.stringify(JSON.stringify({ arcs, shapes, transform }))});
export const names = JSON.parse(${JSON.stringify(JSON.stringify(names))});`;
    },
  };
}

/** Writes each built file a second and a third time, compressed; the service sends these as they are. */
function compress(): Plugin {
  return {
    name: "logitrack-compress",
    apply: "build",
    async closeBundle() {
      for (const folder of [OUT, join(OUT, "assets")]) {
        for (const name of await readdir(folder)) {
          if (!/\.(css|html|js|svg)$/.test(name)) continue;
          const content = await readFile(join(folder, name));
          const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
          await writeFile(join(folder, `${name}.gz`), gzipSync(content, { level: 9 }));
          await writeFile(join(folder, `${name}.br`), brotliCompressSync(content, brotli));
        }
      }
    },
  };
}

export default defineConfig({
  plugins: [zones(), compress()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "baseline-widely-available",
    reportCompressedSize: false,
    license: { fileName: "licenses.md" }, // of the packages whose code the files contain
  },
  server: {
    proxy: Object.fromEntries(
      ["/accounts", "/analytics", "/me", "/model", "/outcomes", "/pipeline", "/predict", "/register", "/session"].map(
        (path) => [
          path,
          { target: SERVICE, bypass: (request) => (request.url?.startsWith("/src") ? request.url : null) },
        ],
      ),
    ),
  },
});
