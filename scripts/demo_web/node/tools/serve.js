#!/usr/bin/env node
// A development server: dist/ at http://127.0.0.1:$PORT/, and /health.
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const root = path.resolve("dist");
const types = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript" };

http
  .createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    if (name === "/health") {
      response.end("ok\n");
      return;
    }
    const file = path.join(root, name === "/" ? "index.html" : name);
    const found = file.startsWith(root + path.sep) && fs.existsSync(file);
    console.log(request.method, name, found ? 200 : 404);
    if (!found) {
      response.writeHead(404).end("not found\n");
      return;
    }
    response.writeHead(200, { "content-type": types[path.extname(file)] ?? "application/octet-stream" });
    fs.createReadStream(file).pipe(response);
  })
  .listen(Number(process.env.PORT), "127.0.0.1", () => console.log(`serving dist/ on port ${process.env.PORT}`));
