// What every panel has around it: the region, the honest state, the summary that is read out, and the notices.

import type { Channel } from "./channel";
import { RequestError } from "./channel";
import { button, h, setAttribute, setShown, setText } from "./dom";
import type { Kind } from "./protocol";
import { shown } from "./shown";

export interface Frame {
  readonly root: HTMLElement;
  /** The line beside the title: a panel's own search box, buttons and the like. */
  readonly tools: HTMLElement;
  readonly body: HTMLElement;
  /** A sentence on how far things are; read out when it changes. */
  summary(text: string): void;
  /** Shows an error or a plain sentence until it is closed or the next one comes; null closes it. */
  notice(what: unknown): void;
}

/** Puts the frame into `element`; it follows the channel's state until `signal`. */
export function makeFrame(element: HTMLElement, kind: Kind, channel: Channel, signal: AbortSignal): Frame {
  const state = h("span", { role: "status", class: "dx-link" });
  const shape = h("span", { class: "dx-link-shape", "aria-hidden": "true" });
  const words = h("span", { class: "dx-link-words" });
  state.append(shape, words);
  const project = h("span", { class: "dx-project" });
  const spoken = h("p", { "aria-live": "polite", class: "dx-summary" });
  const tools = h("div", { class: "dx-controls" });
  const body = h("div", { class: "dx-body" });
  const alert = h("div", { role: "alert", class: "dx-alert" });
  const notice = h("div", { class: "dx-notice", hidden: true });
  notice.append(alert, button("×", { class: "dx-icon", label: "Close this message" }, () => frame.notice(null)));
  const title = h("span", { class: "dx-title" }, "dxforge ", h("b", {}, kind));
  const root = h(
    "section",
    {
      role: "region",
      "aria-label": `dxforge ${kind}`,
      class: `dxforge-panel dxforge-${kind}`,
      "data-lm-suppress-shortcuts": "true",
    },
    h("header", { class: "dx-header" }, title, project, spoken, tools, state),
    notice,
    body,
  );
  element.append(root);
  signal.addEventListener("abort", () => root.remove());

  const frame: Frame = {
    root,
    tools,
    body,
    summary: (text) => setText(spoken, text),
    notice(what) {
      setShown(notice, what !== null && what !== "");
      alert.replaceChildren(...noticeLines(what));
    },
  };
  channel.onLink((link) => {
    setAttribute(root, "data-state", link.state);
    setText(words, link.words);
  }, signal);
  channel.onState((hello) => setText(project, shown(hello.project)), signal);
  return frame;
}

function noticeLines(what: unknown): HTMLElement[] {
  if (what === null || what === "") {
    return [];
  }
  if (!(what instanceof RequestError)) {
    return [h("p", {}, shown(what instanceof Error ? what.message : String(what)))];
  }
  const first = what.where === "" ? shown(what.what) : `${shown(what.where)}: ${shown(what.what)}`;
  const lines = [h("p", { class: "dx-what" }, first)];
  for (const each of what.stale) {
    lines.push(h("p", {}, h("code", {}, shown(each.path)), ` ${shown(each.what)}`));
  }
  if (what.hint !== "") {
    lines.push(h("p", { class: "dx-hint" }, shown(what.hint)));
  }
  return lines;
}
