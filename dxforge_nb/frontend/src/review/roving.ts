// Arrow keys between the buttons of a toolbar or tab list; Tab enters and leaves it.

/** Left, Right, Home and End move the focus between the visible buttons of `element`; `reached` is told where to. */
export function stepWithArrows(element: HTMLElement, reached?: (button: HTMLButtonElement) => void): void {
  element.addEventListener("keydown", (event) => {
    const buttons = visibleButtons(element);
    const at = buttons.findIndex((each) => each === document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    const next = to === undefined || at < 0 ? undefined : buttons[(to + buttons.length) % buttons.length];
    if (next === undefined) return;
    event.preventDefault();
    next.focus();
    reached?.(next);
  });
}

/** Makes one button the stop of the Tab key: the one with the focus, else the first that can be used. */
export function keepOneStop(element: HTMLElement): void {
  const buttons = visibleButtons(element);
  const focused = buttons.find((each) => each === document.activeElement);
  const stop = focused ?? buttons.find((each) => each.getAttribute("aria-disabled") !== "true") ?? buttons[0];
  for (const each of element.querySelectorAll("button")) each.tabIndex = each === stop ? 0 : -1;
}

function visibleButtons(element: HTMLElement): HTMLButtonElement[] {
  return [...element.querySelectorAll("button")].filter((each) => !each.hidden);
}
