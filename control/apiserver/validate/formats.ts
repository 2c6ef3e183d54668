// Formats of names, labels and ports, and how an object breaks them:
// k8s.io/apimachinery/pkg/util/validation.
import { duplicate, type FieldError, notSupported, required, wrong } from '../status.ts';

/** What a value must look like. */
export interface Format {
  test(value: string | number): boolean;
  /** The error's detail. */
  hint: string;
}

const LABEL_MAX = 63;
const SUBDOMAIN_MAX = 253;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const CONFIG_KEY = /^[-._a-zA-Z0-9]+$/;
const PORT_NAME_PATTERN = /^(?=.{1,15}$)(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

function format(pattern: RegExp, lengthMax: number, hint: string): Format {
  return {
    test: (value) => String(value).length <= lengthMax && pattern.test(String(value)),
    hint,
  };
}

export const DNS_LABEL = format(
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/,
  LABEL_MAX,
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and " +
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex " +
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
);
/** A label that begins with a letter (RFC 1035), as names of Services do. */
export const DNS_LABEL_1035 = format(
  /^[a-z]([-a-z0-9]*[a-z0-9])?$/,
  LABEL_MAX,
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an " +
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or " +
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
);
export const SUBDOMAIN = format(
  /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  SUBDOMAIN_MAX,
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or " +
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex " +
    "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
);
/** A wildcard such as `*.example.com`. */
export const WILDCARD = format(
  /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
  SUBDOMAIN_MAX,
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, " +
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an " +
    "alphanumeric character (e.g. '*.example.com', regex used for validation is " +
    "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
);
/** `[prefix/]name`, as keys of labels and annotations. */
export const QUALIFIED_NAME: Format = {
  test(value) {
    const parts = String(value).split('/');
    const name = parts.pop()!;
    if (parts.length > 1 || (parts.length === 1 && !SUBDOMAIN.test(parts[0]!))) return false;
    return name.length <= LABEL_MAX && QUALIFIED.test(name);
  },
  hint:
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and " +
    "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex " +
    "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
};
export const LABEL_VALUE = format(
  /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/,
  LABEL_MAX,
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or " +
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or " +
    "'my_value',  or '12345', regex used for validation is " +
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
);
/** IANA service name (RFC 6335): at least one letter, at most 15 characters. */
export const PORT_NAME = format(
  PORT_NAME_PATTERN,
  15,
  'must be a valid port name of at most 15 characters',
);
export const PORT: Format = {
  test: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 65_535,
  hint: 'must be between 1 and 65535, inclusive',
};

/** The errors of a value that must have a format. */
// biome-ignore lint/suspicious/noExplicitAny: types are checked by the schema before.
export function matching(field: string, value: any, { test, hint }: Format): FieldError[] {
  return test(value) ? [] : [wrong(field, value, hint)];
}

/** The errors of a field that may be absent or empty. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export function optional(field: string, value: any, format: Format): FieldError[] {
  return value ? matching(field, value, format) : [];
}

/** The errors of a list item's name: a wrong format, or a name in `taken`. Adds it to `taken`. */
export function unique(
  field: string,
  name: string | undefined,
  taken: Set<string>,
  format: Format = DNS_LABEL,
): FieldError[] {
  if (!name) return [required(field)];
  const isTaken = taken.has(name);
  taken.add(name);
  const errors = matching(field, name, format);
  return errors.length === 0 && isTaken ? [duplicate(field, name)] : errors;
}

/** The errors of a value that is not in a fixed set. */
export function oneOf(field: string, value: unknown, known: string[]): FieldError[] {
  return known.includes(value as string) ? [] : [notSupported(field, value, known)];
}

/** The errors of all items of a list, each with its path. */
export function each<T>(
  field: string,
  items: T[] | undefined,
  validate: (at: string, item: T, i: number) => FieldError[],
): FieldError[] {
  return (items ?? []).flatMap((item, i) => validate(`${field}[${i}]`, item, i));
}

/**
 * The error of a key of a ConfigMap or Secret, null if it is valid. Keys can become file names.
 */
export function faultOfConfigKey(key: string): string | null {
  if (key.length > SUBDOMAIN_MAX) return `must be no more than ${SUBDOMAIN_MAX} bytes`;
  if (!CONFIG_KEY.test(key)) {
    return (
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. " +
      "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is " +
      "'[-._a-zA-Z0-9]+')"
    );
  }
  if (key === '.' || key === '..') return `must not be '${key}'`;
  return key.startsWith('..') ? "must not start with '..'" : null;
}
