/**
 * Builds the page into the Python package. With --check nothing is written, and the exit status
 * says whether the built files are those of the sources.
 */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const TARGET = new URL("../src/clip_surgery/export/web/page/", import.meta.url);
const STATIC = ["index.html", "page.css", "NOTICE-tokenizers.txt"];

const result = await build({
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: ["src/page.ts", "src/worker.ts", "src/isolation.ts"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  charset: "utf8",
  outdir: "built",
  write: false,
});
const files = new Map(
  result.outputFiles.map((file) => [file.path.split("/").pop(), Buffer.from(file.contents)]),
);
for (const name of STATIC) files.set(name, await readFile(new URL(name, import.meta.url)));

if (process.argv.includes("--check")) {
  const stale = [];
  for (const [name, content] of files) {
    const built = await readFile(new URL(name, TARGET)).catch(() => null);
    if (built === null || !built.equals(content)) stale.push(name);
  }
  const strangers = (await readdir(TARGET)).filter((name) => !files.has(name));
  if (stale.length || strangers.length) {
    console.error(`Not built from these sources: ${[...stale, ...strangers].join(", ")}. Run npm run build.`);
    process.exit(1);
  }
} else {
  for (const [name, content] of files) await writeFile(new URL(name, TARGET), content);
}
