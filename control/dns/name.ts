// Domain names as they are on the wire (RFC 1035 3.1): labels behind their lengths, a zero at the
// end. A string holds one byte per character, so that a dot or a byte above 127 inside a label
// stays what it is.

export type Name = string;

export const ROOT: Name = '\0';
const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;

/** A name from labels, or null if it is too long or has an empty label. */
export function joinLabels(labels: readonly string[], zone: Name = ROOT): Name | null {
  let name = '';
  for (const label of labels) {
    if (label.length === 0 || label.length > LABEL_BYTES_MAX) return null;
    name += String.fromCharCode(label.length) + label;
  }
  name += zone;
  return name.length <= NAME_BYTES_MAX ? name : null;
}

/** A name from `web.default`, with or without a dot at the end. Null if it is no name. */
export function parseName(text: string): Name | null {
  const bare = text.endsWith('.') ? text.slice(0, -1) : text;
  return bare === '' ? ROOT : joinLabels(bare.split('.'));
}

export function labelsOf(name: Name): string[] {
  const labels: string[] = [];
  let at = 0;
  for (let length = name.charCodeAt(0); length > 0; length = name.charCodeAt(at)) {
    labels.push(name.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels;
}

/** Lower case of ASCII letters alone (RFC 4343). A length byte is below every letter. */
export function foldCase(name: Name): Name {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Labels before a zone, or null if the name is not the zone or below it. Both in lower case. */
export function labelsBelow(name: Name, zone: Name): string[] | null {
  if (!name.endsWith(zone)) return null;
  const end = name.length - zone.length;
  const labels: string[] = [];
  let at = 0;
  while (at < end) {
    const length = name.charCodeAt(at);
    labels.push(name.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
  return at === end ? labels : null;
}

/**
 * Prints `web.default.`, with `\ddd` for bytes outside printable ASCII and `\.` for dots in labels.
 */
export function formatName(name: Name): string {
  const labels = labelsOf(name).map((label) =>
    label
      .replace(/[.\\"]/g, '\\$&')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is escaped.
      .replace(/[\x00-\x20\x7f-\xff]/g, escapeByte),
  );
  return `${labels.join('.')}.`;
}

function escapeByte(byte: string): string {
  return `\\${String(byte.charCodeAt(0)).padStart(3, '0')}`;
}
