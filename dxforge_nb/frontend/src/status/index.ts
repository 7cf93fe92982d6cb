import type { Channel } from "../channel";
import type { Frame } from "../frame";

/** Fills the frame with the status panel. */
export function mountStatus(_frame: Frame, _channel: Channel, _signal: AbortSignal): void {
  return;
}
