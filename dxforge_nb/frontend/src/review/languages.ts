// Syntax colours by file name.

import { indentUnit, type StreamParser, StreamLanguage } from "@codemirror/language";
import { c, cpp, java } from "@codemirror/legacy-modes/mode/clike";
import { diff } from "@codemirror/legacy-modes/mode/diff";
import { dockerFile } from "@codemirror/legacy-modes/mode/dockerfile";
import { go } from "@codemirror/legacy-modes/mode/go";
import { javascript, json, typescript } from "@codemirror/legacy-modes/mode/javascript";
import { properties } from "@codemirror/legacy-modes/mode/properties";
import { cython, python } from "@codemirror/legacy-modes/mode/python";
import { r } from "@codemirror/legacy-modes/mode/r";
import { ruby } from "@codemirror/legacy-modes/mode/ruby";
import { rust } from "@codemirror/legacy-modes/mode/rust";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { simpleMode } from "@codemirror/legacy-modes/mode/simple-mode";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { html, xml } from "@codemirror/legacy-modes/mode/xml";
import { yaml } from "@codemirror/legacy-modes/mode/yaml";
import type { Extension } from "@codemirror/state";

const stream = (parser: StreamParser<unknown>) => () => StreamLanguage.define(parser);

// The packaged ones for these two weigh as much as ten of the others.
const css = simpleMode({
  start: [
    { regex: /\/\*/, token: "comment", push: "comment" },
    { regex: /"(?:[^\\"]|\\.)*"?|'(?:[^\\']|\\.)*'?/, token: "string" },
    { regex: /@[\w-]+/, token: "keyword" },
    { regex: /#[0-9a-fA-F]{3,8}\b|[+-]?\d*\.?\d+(?:%|[a-z]+)?/, token: "number" },
    { regex: /[\w-]+(?=\s*:[^:])/, token: "property" },
    { regex: /[.#&]?[\w-]+/, token: null },
  ],
  comment: [
    { regex: /.*?\*\//, token: "comment", pop: true },
    { regex: /.+/, token: "comment" },
  ],
});
const markdown = simpleMode({
  start: [
    { regex: /(?:```|~~~).*/, token: "string", sol: true, push: "code" },
    { regex: /#{1,6}\s.*/, token: "header", sol: true },
    { regex: /\s*(?:[-*+]|\d+[.)])\s/, token: "keyword", sol: true },
    { regex: /`[^`]*`/, token: "string" },
    { regex: /\*\*[^*]+\*\*|__[^_]+__/, token: "strong" },
    { regex: /!?\[[^\]]*\]\([^)]*\)|<?https?:\S+/, token: "link" },
    { regex: /[^`*_![<h]+|./, token: null },
  ],
  code: [
    { regex: /(?:```|~~~)\s*$/, token: "string", sol: true, pop: true },
    { regex: /.+/, token: "string" },
  ],
});

const BY_ENDING: Readonly<Record<string, () => Extension>> = {
  ...alike(stream(python), "py", "pyi", "pyw"),
  ...alike(stream(cython), "pyx", "pxd"),
  ...alike(stream(javascript), "js", "mjs", "cjs", "jsx"),
  ...alike(stream(typescript), "ts", "mts", "cts", "tsx"),
  ...alike(stream(css), "css", "scss", "less"),
  ...alike(stream(markdown), "md", "markdown"),
  ...alike(stream(html), "html", "htm", "vue", "svelte", "jinja", "j2"),
  ...alike(stream(json), "json", "ipynb", "map", "webmanifest"),
  ...alike(stream(diff), "diff", "patch"),
  ...alike(stream(c), "c", "h"),
  ...alike(stream(cpp), "cc", "cpp", "cxx", "hh", "hpp", "cu"),
  ...alike(stream(java), "java"),
  ...alike(stream(go), "go"),
  ...alike(stream(rust), "rs"),
  ...alike(stream(ruby), "rb"),
  ...alike(stream(r), "r"),
  ...alike(stream(shell), "sh", "bash", "zsh"),
  ...alike(stream(toml), "toml", "lock"),
  ...alike(stream(xml), "xml", "svg", "xsd", "plist"),
  ...alike(stream(yaml), "yaml", "yml", "cff"),
  ...alike(stream(properties), "ini", "cfg", "properties", "env", "metadata"),
  ...alike(stream(dockerFile), "dockerfile"),
};

function alike(make: () => Extension, ...endings: string[]): Record<string, () => Extension> {
  return Object.fromEntries(endings.map((ending) => [ending, make]));
}

/** The language of a file, and how it is indented. */
export function languageOf(name: string, text: string): Extension {
  const last = name.slice(name.lastIndexOf("/") + 1).toLowerCase();
  const ending = last.slice(last.lastIndexOf(".") + 1);
  const make = Object.hasOwn(BY_ENDING, ending) ? BY_ENDING[ending] : undefined;
  return [make?.() ?? [], indentUnit.of(unitOf(text))];
}

function unitOf(text: string): string {
  const first = /^(\t| {2,8})\S/m.exec(text.slice(0, 20_000));
  return first?.[1] ?? "    ";
}
