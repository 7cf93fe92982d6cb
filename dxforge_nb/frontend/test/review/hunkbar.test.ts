import { describe, expect, it } from "vitest";
import { HunkBar, type HunkBars, OtherSide } from "../../src/review/hunkbar";

function barOf(overlaps: boolean): HTMLElement {
  const nothing = (): void => undefined;
  const bars: HunkBars = {
    current: 0, waiting: new Map(), decide: nothing, choose: nothing, lost: nothing, focused: null, elements: new Map(),
  };
  const hunk = { id: "1", header: "", old: [0, 1] as [number, number], new: [0, 1] as [number, number], overlaps };
  return new HunkBar(hunk, 0, 2, bars).toDOM(undefined as never);
}

describe("the bar above a hunk", () => {
  it("shows and says that the hunk overlaps the user's edit", () => {
    const bar = barOf(true);
    document.body.append(bar);
    expect(bar.getAttribute("aria-label")).toBe("Hunk 1 of 2");
    const hunk = { id: "1", header: "", old: [0, 1] as [number, number], new: [0, 1] as [number, number], overlaps: true };
    expect(new OtherSide(hunk).toDOM().textContent).toBe("changes 1 lineoverlaps your edit");
    expect(document.getElementById(bar.getAttribute("aria-describedby") ?? "")?.textContent).toBe("overlaps your edit");
  });

  it("says nothing of the kind of others", () => {
    const bar = barOf(false);
    expect([bar.getAttribute("aria-describedby"), bar.textContent]).toEqual([null, "Hunk 1 of 2changes 1 lineAccept hunkReject hunk"]);
  });
});
