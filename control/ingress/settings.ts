// The annotations that change how a backend is served.
import { formatRange, parseRange } from '../../datapath/wire/address.ts';
import type { Settings } from './model.ts';

/** Reports a field with a wrong value. */
export type Report = (reason: string, message: string) => void;

const PREFIX = 'haproxy.org/';
const SETTINGS_DEFAULT: Settings = {
  redirectCode: null,
  allowed: null,
  cookie: null,
  timeoutServer: null,
  timeoutTunnel: null,
  bodyBytesMax: null,
};
const REDIRECT_CODE = 302;
const CODES = ['301', '302', '303', '307', '308'];
const VALUE_CHARS_TOLD = 100;
const COOKIE = /^[A-Za-z0-9_-]{1,64}$/;
const TIME = /^(\d{1,9})(ms|s|m|h|d)?$/;
const UNITS_MS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };
/** The longest time that HAProxy counts. */
const TIME_MS_MAX = 2 ** 31 - 1;
const SIZE = /^(\d{1,9})([kmg]?)$/i;
const SHIFTS: Record<string, number> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

type Reader = (value: string) => Partial<Settings> | null;

/** Annotation -> what is expected, and its effect; null for a wrong value. */
const READERS = new Map<string, [expected: string, read: Reader]>([
  ['ssl-redirect', ['"true" or "false"', (value) => (isFlag(value) ? {} : null)]],
  ['ssl-redirect-code', [CODES.join(', '), (value) => (CODES.includes(value) ? {} : null)]],
  ['allow-list', ['IPv4 addresses and ranges, separated by commas', readAllowed]],
  ['whitelist', ['IPv4 addresses and ranges, separated by commas', readAllowed]],
  [
    'cookie-persistence',
    [
      'a cookie name of letters, digits, - and _',
      (cookie) => (COOKIE.test(cookie) ? { cookie } : null),
    ],
  ],
  ['timeout-server', ['a time such as 30s', (value) => time(value, 'timeoutServer')]],
  ['timeout-tunnel', ['a time such as 1h', (value) => time(value, 'timeoutTunnel')]],
  ['proxy-body-size', ['a size such as 8m', readSize]],
  ['server-proto', ['"h2"', (value) => (value === 'h2' ? {} : null)]],
]);

/**
 * Settings of an Ingress, changed by those of a Service. A wrong value counts as absent, but a
 * wrong allow-list allows no client.
 */
export function readSettings(
  annotations: Record<string, string> | undefined,
  of: string,
  report: Report,
): Partial<Settings> {
  const found: Partial<Settings> = {};
  for (const [key, value] of Object.entries(annotations ?? {}).sort()) {
    if (!key.startsWith(PREFIX)) continue;
    const [expected, read] = READERS.get(key.slice(PREFIX.length)) ?? [];
    const field = `${of} metadata.annotations[${JSON.stringify(key)}]`;
    if (!read) {
      const names = [...READERS.keys()].join(', ');
      report('AnnotationUnknown', `${field} has no effect: those with an effect are ${names}`);
      continue;
    }
    const change = read(value.trim());
    if (change) Object.assign(found, change);
    else {
      const text = JSON.stringify(value.slice(0, VALUE_CHARS_TOLD));
      report('AnnotationInvalid', `${field} is ${text}: expected ${expected}; correct it`);
      if (read === readAllowed) found.allowed = [];
    }
  }
  return { ...found, ...readRedirect(annotations) };
}

/** All settings. Later ones come first. */
export function mergeSettings(...parts: Partial<Settings>[]): Settings {
  return Object.assign({ ...SETTINGS_DEFAULT }, ...parts);
}

/** True for an annotation that asks for HTTP/2 without TLS towards the servers. */
export function asksH2(annotations: Record<string, string> | undefined): boolean {
  return annotations?.[`${PREFIX}server-proto`]?.trim() === 'h2';
}

function readRedirect(annotations: Record<string, string> | undefined): Partial<Settings> {
  const value = annotations?.[`${PREFIX}ssl-redirect`]?.trim();
  if (value === undefined || !isFlag(value)) return {};
  const code = annotations?.[`${PREFIX}ssl-redirect-code`]?.trim() ?? '';
  const redirectCode = CODES.includes(code) ? Number(code) : REDIRECT_CODE;
  return { redirectCode: value === 'true' ? redirectCode : null };
}

function isFlag(value: string): boolean {
  return value === 'true' || value === 'false';
}

function readAllowed(value: string): Partial<Settings> | null {
  const ranges = value.split(',').map((text) => parseRange(withLength(text.trim())));
  const known = ranges.filter((range) => range !== null);
  return known.length < ranges.length ? null : { allowed: known.map(formatRange) };
}

function withLength(text: string): string {
  return text.includes('/') ? text : `${text}/32`;
}

function time(value: string, field: 'timeoutServer' | 'timeoutTunnel'): Partial<Settings> | null {
  const [, count, unit = 'ms'] = TIME.exec(value) ?? [];
  const ms = Number(count) * UNITS_MS[unit]!;
  return ms >= 1 && ms <= TIME_MS_MAX ? { [field]: `${ms}ms` } : null;
}

function readSize(value: string): Partial<Settings> | null {
  const [, count, unit = ''] = SIZE.exec(value) ?? [];
  if (count === undefined) return null;
  return { bodyBytesMax: Number(count) * SHIFTS[unit.toLowerCase()]! };
}
