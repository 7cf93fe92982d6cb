// The editor's colours: all from variables of the page, so that a change of theme needs no new editor.

import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const style = HighlightStyle.define([
  { tag: [tags.keyword, tags.modifier, tags.operatorKeyword, tags.controlKeyword], color: "var(--dx-syntax-keyword)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp, tags.character], color: "var(--dx-syntax-string)" },
  { tag: [tags.comment, tags.docComment, tags.meta], color: "var(--dx-syntax-comment)", fontStyle: "italic" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom, tags.unit], color: "var(--dx-syntax-number)" },
  { tag: [tags.definition(tags.variableName), tags.function(tags.definition(tags.variableName))], color: "var(--dx-syntax-name)" },
  { tag: [tags.className, tags.typeName, tags.namespace, tags.tagName], color: "var(--dx-syntax-type)" },
  { tag: [tags.propertyName, tags.attributeName, tags.labelName], color: "var(--dx-syntax-property)" },
  { tag: tags.heading, fontWeight: "bold", color: "var(--dx-syntax-keyword)" },
  { tag: tags.strong, fontWeight: "bold" },
  { tag: tags.emphasis, fontStyle: "italic" },
  { tag: [tags.link, tags.url], color: "var(--dx-syntax-string)" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", backgroundColor: "transparent", color: "var(--dx-fg)", fontSize: "var(--dx-code-size)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--dx-code)", lineHeight: "1.45", overflow: "auto" },
  ".cm-content": { caretColor: "var(--dx-fg)", paddingBottom: "1em" },
  ".cm-gutters": { backgroundColor: "var(--dx-code-bg)", color: "var(--dx-dim)", border: "none" },
  ".cm-activeLine": { backgroundColor: "transparent", boxShadow: "inset 2px 0 var(--dx-accent)" },
  "&.cm-merge-b .cm-changedLine, &.dx-tone-added .cm-line": { backgroundColor: "var(--dx-added-bg)" },
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk, &.dx-tone-removed .cm-line": { backgroundColor: "var(--dx-removed-bg)" },
  "&.cm-merge-b .cm-changedText": { background: "var(--dx-added-word)", borderRadius: "2px" },
  "&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText": { background: "var(--dx-removed-word)", borderRadius: "2px" },
  "&.cm-merge-b .cm-changedLineGutter": { background: "var(--dx-added-edge)" },
  "&.cm-merge-a .cm-changedLineGutter, .cm-deletedLineGutter": { background: "var(--dx-removed-edge)" },
  ".cm-insertedLine, .cm-deletedLine, .cm-deletedLine del": { textDecoration: "none" },
  ".cm-deletedChunk": { paddingLeft: "6px" },
  ".cm-collapsedLines": {
    background: "var(--dx-raised)",
    color: "var(--dx-dim)",
    fontFamily: "var(--dx-font)",
    fontSize: "11px",
    padding: "3px 8px",
  },
  ".cm-collapsedLines:before, .cm-collapsedLines:after": { content: "none" },
  ".cm-collapsedLines:hover": { color: "var(--dx-fg)" },
  ".cm-panels": { backgroundColor: "var(--dx-raised)", color: "var(--dx-fg)" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    background: "var(--dx-selection)",
  },
});

/** Tells the style sheet how wide a view's line numbers are; returns what ends that. */
export function watchGutter(view: EditorView): () => void {
  const gutter = view.dom.querySelector<HTMLElement>(".cm-gutters");
  if (gutter === null) return () => undefined;
  const observer = new ResizeObserver(() => view.dom.style.setProperty("--dx-gutter", `${gutter.offsetWidth}px`));
  observer.observe(gutter);
  return () => observer.disconnect();
}

export const colours = [theme, syntaxHighlighting(style, { fallback: true })];

/** Tells whether the page is dark, now and whenever it changes; returns what ends that. */
export function watchTheme(element: Element, listen: (dark: boolean) => void): () => void {
  let known: boolean | null = null;
  const look = (): void => {
    const dark = isDark(getComputedStyle(element).color);
    if (dark !== known) listen(dark);
    known = dark;
  };
  const observer = new MutationObserver(look);
  for (const root of [document.documentElement, document.body]) {
    observer.observe(root, { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-theme"] });
  }
  look();
  return () => observer.disconnect();
}

/** A page with light text is a dark one. */
function isDark(colour: string): boolean {
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return red * 0.3 + green * 0.59 + blue * 0.11 > 128;
}
