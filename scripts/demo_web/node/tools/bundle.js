#!/usr/bin/env node
// esbuild, as this project wants it: bundle.js build
const esbuild = require("esbuild");

esbuild.buildSync({
  entryPoints: ["src/page/main.js", "src/page/index.html"],
  bundle: true,
  minify: true,
  loader: { ".html": "copy" },
  outdir: "dist",
  logLevel: "info",
});
