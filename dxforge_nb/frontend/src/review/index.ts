import type { Channel } from "../channel";
import type { Frame } from "../frame";
import { mountPanel } from "./panel";

/** Fills the frame with the review panel. */
export function mountReview(frame: Frame, channel: Channel, signal: AbortSignal): void {
  mountPanel(frame, channel, signal);
}
