// Bundles the panels into dxforge_nb/static: panel.js and panel.css go with every panel, editor.js is asked for when a
// file is first opened. `--harness` makes the page for looking at the panels without a notebook instead.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const harness = process.argv.includes("--harness");

const common = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  minify: true,
  sourcemap: false,
  legalComments: "inline",
  logLevel: "warning",
};

const outdir = harness ? "harness/out" : "../static";
const builds = [
  { ...common, entryPoints: { panel: "src/index.ts", editor: "src/review/editor.ts" }, outdir },
  { ...common, entryPoints: { panel: "src/panel.css" }, outdir },
];
if (harness) {
  builds.push({ ...common, entryPoints: { harness: "harness/harness.ts", review: "harness/review.ts" }, outdir });
}
const done = await Promise.allSettled(builds.map((each) => build(each)));
// esbuild has written what is wrong.
process.exitCode = done.some((each) => each.status === "rejected") ? 1 : 0;
