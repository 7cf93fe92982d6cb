// What anywidget loads: one channel per model, one panel per view of it.

import { type Channel, openChannel } from "./channel";
import { type Frame, makeFrame } from "./frame";
import type { Model } from "./host";
import type { Kind } from "./protocol";
import { mountReview } from "./review/index";
import { mountStatus } from "./status/index";

/** Fills a frame's body; everything that it starts ends with `signal`. */
export type Mount = (frame: Frame, channel: Channel, signal: AbortSignal) => void;

const MOUNTS: Record<Kind, Mount> = { review: mountReview, status: mountStatus };

interface Context {
  model: Model;
}

// anywidget calls this once per model, and what `initialize` and `render` return when the model or the view ends.
export default function panel(): object {
  let channel: Channel | undefined;

  function initialize({ model }: Context): () => void {
    const end = new AbortController();
    channel = openChannel(model, kindOf(model), end.signal);
    return () => end.abort();
  }

  function render({ model, el }: Context & { el: HTMLElement }): () => void {
    const end = new AbortController();
    const kind = kindOf(model);
    const opened = (channel ??= openChannel(model, kind, end.signal));
    const frame = makeFrame(el, kind, opened, end.signal);
    MOUNTS[kind](frame, opened, end.signal);
    opened.watchWhileVisible(el, end.signal);
    return () => end.abort();
  }

  return { initialize, render };
}

function kindOf(model: Model): Kind {
  return model.get("kind") === "status" ? "status" : "review";
}
