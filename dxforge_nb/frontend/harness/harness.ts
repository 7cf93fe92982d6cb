// Shows the panels without a notebook: index.html?kind=status&theme=dark&state=live

import panel from "../src/index";
import { FakeKernel, FakeModel, type Sent } from "../test/fake";
import { OPENED, REVIEW, STATUS } from "./data";

interface Panel {
  initialize(context: object): unknown;
  render(context: object): unknown;
}

const wanted = new URLSearchParams(location.search);
const kind = wanted.get("kind") ?? "status";
document.documentElement.dataset["theme"] = wanted.get("theme") ?? "light";

const kernel = new FakeKernel();
const model = new FakeModel(kind, kernel);
const hello = { kernel: "k", project: STATUS.project, program: "%dx", editor: "dev", seq: 0 };

async function reply(message: Sent): Promise<void> {
  await Promise.resolve();
  model.got(message);
  switch (message.op) {
    case "hello":
      model.answer(message, { ...hello, ...(kind === "status" ? { state: STATUS } : REVIEW) });
      break;
    case "logs":
      model.answer(message, { text: Array.from({ length: 40 }, (_, line) => `INFO line ${line} of the log`).join("\n") });
      break;
    case "asset":
      model.answer(message, { name: "editor", code: await (await fetch("./out/editor.js")).text() });
      break;
    case "open":
      model.answer(message, OPENED);
      break;
    case "tool":
      model.refuse(message, {
        kind: "ToolError", what: "port 8000 is taken by python3 (pid 811)", where: "[tools.web]",
        hint: "Stop that process, or give the tool another port in dx.toml",
      });
      break;
    default:
      model.answer(message);
  }
}
model.heard = (message) => void reply(message);

const shown = panel() as Panel;
shown.initialize({ model });
shown.render({ model, el: document.getElementById("here") });
Object.assign(globalThis, { dxKernel: kernel, dxModel: model, dxStatus: STATUS });
