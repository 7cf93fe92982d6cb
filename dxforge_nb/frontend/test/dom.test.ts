import { beforeEach, describe, expect, it, vi } from "vitest";

import { button, h, keyedRows, setAttribute, setEnabled, setText } from "../src/dom";
import { freshPage, HOSTILE } from "./page";

beforeEach(freshPage);

describe("elements", () => {
  it.each(HOSTILE)("take %j as text", (text) => {
    const element = h("p", { title: text }, text);
    expect(element.childNodes).toHaveLength(1);
    expect(element.firstChild?.nodeType).toBe(Node.TEXT_NODE);
    expect(element.textContent).toBe(text);
    expect(element.getAttribute("title")).toBe(text);
    setText(element, `${text}!`);
    expect(element.children).toHaveLength(0);
  });

  it.each(["onclick", "href", "src", "srcdoc", "style", "ONLOAD"])("have no attribute %s", (name) => {
    expect(() => h("p", { [name]: "x" })).toThrow(name);
  });

  it("have the attributes that are true or have a value, and the children that are there", () => {
    const element = h("p", { a: true, b: false, c: null, d: undefined, e: 0 }, null, false, "x", undefined);
    expect(element.outerHTML).toBe('<p a="" e="0">x</p>');
  });
});

describe("what stays", () => {
  it("is not touched: neither a text nor an attribute", async () => {
    const element = h("p", { title: "a" }, "text");
    const node = element.firstChild;
    const changes = vi.fn();
    const observer = new MutationObserver(changes);
    observer.observe(element, { attributes: true, childList: true, characterData: true, subtree: true });
    setText(element, "text");
    setAttribute(element, "title", "a");
    setAttribute(element, "none", null);
    await new Promise((done) => setTimeout(done, 10));
    expect(changes).not.toHaveBeenCalled();
    setText(element, "other");
    expect(element.firstChild).toBe(node);
    observer.disconnect();
  });

  it("an empty text is none", () => {
    const element = h("p", {}, "text");
    setText(element, "");
    expect(element.textContent).toBe("");
    const other = h("p", {}, h("b", {}, "bold"));
    setText(other, "");
    expect(other.childNodes).toHaveLength(0);
  });
});

describe("keyed rows", () => {
  const items = (...names: string[]): { name: string; value: number }[] => names.map((name, value) => ({ name, value }));

  function list(): { parent: HTMLElement; update: (items: { name: string; value: number }[]) => void; made: string[] } {
    const parent = h("div");
    document.body.append(parent);
    const made: string[] = [];
    const update = keyedRows<{ name: string; value: number }>(
      parent,
      (item) => item.name,
      (item) => {
        made.push(item.name);
        const element = h("button", {});
        return { element, update: (now) => setText(element, `${now.name}${now.value}`) };
      },
    );
    return { parent, update, made };
  }

  it("are made once, updated in place, moved and removed", () => {
    const { parent, update, made } = list();
    const orders = ["abc", "cab", "b", "", "abcd", "dcba", "xdby"];
    for (const order of orders) {
      update(items(...order));
      expect(parent.textContent).toBe([...order].map((name, value) => `${name}${value}`).join(""));
    }
    // b stayed from the second to the third order; all went before the fifth.
    expect(made.join("")).toBe("abcabcdxy");
  });

  it("keep the focus when others come and go", () => {
    const { parent, update } = list();
    update(items("a", "b", "c"));
    const focused = parent.children[1] as HTMLElement;
    focused.focus();
    update(items("n", "a", "b"));
    update(items("b"));
    expect(document.activeElement).toBe(focused);
    expect(focused.textContent).toBe("b0");
  });
});

describe("buttons", () => {
  it("that are switched off keep the focus and do nothing", () => {
    const press = vi.fn();
    const element = button("Go", {}, press);
    document.body.append(element);
    element.focus();
    setEnabled(element, false);
    element.click();
    expect(press).not.toHaveBeenCalled();
    expect(document.activeElement).toBe(element);
    setEnabled(element, true);
    element.click();
    expect(press).toHaveBeenCalledTimes(1);
  });
});
