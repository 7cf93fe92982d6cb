// Code that is too large to go with every panel: asked for when it is needed, and kept for the page.

import type { Channel } from "./channel";

interface Asset {
  name: string;
  sha256: string;
  code: string;
}

const KEPT = "__dxforge_assets__";

/**
 * The module `name` ("editor") as the kernel has it, imported once per page and version. Rejects as
 * `Channel.request` does; the next call tries again.
 */
export function loadAsset<Module>(channel: Channel, name: string, sha256: string): Promise<Module> {
  const holder = globalThis as unknown as Record<string, Map<string, Promise<unknown>> | undefined>;
  const kept = (holder[KEPT] ??= new Map());
  const key = `${name}:${sha256}`;
  let module = kept.get(key);
  if (module === undefined) {
    module = channel.request<Asset>("asset", { name }).then((asset) => imported(asset.code));
    kept.set(key, module);
    module.catch(() => kept.delete(key));
  }
  return module as Promise<Module>;
}

async function imported(code: string): Promise<unknown> {
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  try {
    return await import(/* @vite-ignore */ address);
  } finally {
    URL.revokeObjectURL(address);
  }
}
