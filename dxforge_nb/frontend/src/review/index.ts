import type { Channel } from "../channel";
import type { Frame } from "../frame";

/** Fills the frame with the review panel. */
export function mountReview(_frame: Frame, _channel: Channel, _signal: AbortSignal): void {
  return;
}
