// Hosts and paths in the form in which rules and requests are compared.

/** A DNS name in lower case; the first label may be `*`. */
const HOST = /^(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const HOST_BYTES_MAX = 253;
/** A line of a map file is limited by the buffer of HAProxy, 16 KiB. */
const PATH_BYTES_MAX = 2000;
/** Encoded `/`, `\` and control characters: servers differ in what they make of them. */
const ENCODED_REFUSED = /%(?:2f|5c|[01][0-9a-f]|7f)/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for.
const CONTROL = /[\u0000-\u001f\u007f]/;
/** Segments that a server may remove or join. `..;` is `..` for some. */
const SEGMENTS_REFUSED = /\/\/|\\|\/\.\.?(?:;|\/|$)/;

/** The host of a rule: `*` for any. Null if it is not a host. */
export function ruleHost(text: string | undefined): string | null {
  if (!text) return '*';
  const host = text.toLowerCase();
  return HOST.test(host) && host.length <= HOST_BYTES_MAX ? host : null;
}

/**
 * A path without percent encoding, as bytes in a latin1 string. Null for a path that servers may
 * read in different ways. It must have no query.
 */
export function decodePath(path: string): string | null {
  if (!path.startsWith('/') || ENCODED_REFUSED.test(path)) return null;
  if (/%(?![0-9a-f]{2})/i.test(path)) return null;
  const bytes = path.replace(/%(..)/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return CONTROL.test(bytes) || SEGMENTS_REFUSED.test(bytes) ? null : bytes;
}

/**
 * The path of a rule without percent encoding. Null if no request can have it, or if requests with
 * it are refused.
 */
export function rulePath(text: string): string | null {
  if (/[?#]/.test(text)) return null;
  const bytes = decodePath(Buffer.from(text).toString('latin1'));
  if (bytes === null || bytes.length > PATH_BYTES_MAX) return null;
  const path = Buffer.from(bytes, 'latin1').toString();
  return Buffer.from(path).toString('latin1') === bytes ? path : null;
}

/** The path of a Prefix rule: the slash at its end has no meaning. */
export function prefixPath(path: string): string {
  return path === '/' ? path : path.replace(/\/$/, '');
}
