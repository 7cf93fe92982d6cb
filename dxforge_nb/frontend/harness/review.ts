// The review panel over a fake kernel: review.html?theme=dark&files=10000&delay=200

import panel from "../src/index";
import { FakeKernel, FakeModel } from "../test/fake";
import { ReviewKernel } from "../test/review/kernel";
import { largeFiles, manyFiles, someFiles } from "./review_data";

const wanted = new URLSearchParams(location.search);
document.documentElement.dataset["theme"] = wanted.get("theme") ?? "light";

const host = new FakeKernel();
const model = new FakeModel("review", host);
const count = Number(wanted.get("files") ?? 0);
const files = wanted.has("empty") ? [] : [...someFiles(), ...(wanted.has("big") ? largeFiles() : []), ...manyFiles(count)];
const kernel = new ReviewKernel(model, files);
kernel.delay = Number(wanted.get("delay") ?? 0);
kernel.editorCode = async () => (await fetch("./out/editor.js")).text();

const shown = panel() as { initialize(context: object): unknown; render(context: object): unknown };
shown.initialize({ model });
shown.render({ model, el: document.getElementById("here") });
Object.assign(globalThis, { host, model, kernel });
