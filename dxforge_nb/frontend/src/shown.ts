// How foreign text is shown, so that it cannot deceive (as dxforge/commands/shown.py does it).

const INVISIBLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;
// Control sequences of ECMA-48: CSI, OSC up to its end, and the two-character ones.
const TERMINAL = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])/g;

/** `text` on one line: control, bidirectional and invisible characters as `\x1b`. */
export function shown(text: string): string {
  return text.replace(INVISIBLE, escaped);
}

/** A line that a program wrote, without its colours; tabs stay. */
export function outputLine(text: string): string {
  const plain = text.replace(TERMINAL, "").replace(/[\r\n]+$/, "");
  return plain.slice(plain.lastIndexOf("\r") + 1).split("\t").map(shown).join("\t");
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const digits = code.toString(16);
  if (code < 0x100) {
    return `\\x${digits.padStart(2, "0")}`;
  }
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
