// Formats of names and labels: k8s.io/apimachinery/pkg/util/validation.

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_FROM_LETTER = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const PORT_NAME = /^(?=.{1,15}$)(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

const WILDCARD = /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const CONFIG_KEY = /^[-._a-zA-Z0-9]+$/;

const LABEL_MAX = 63;
const SUBDOMAIN_MAX = 253;

export const DNS_LABEL_HINT =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and " +
  "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex " +
  "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
export const DNS_LABEL_1035_HINT =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an " +
  "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or " +
  "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
export const SUBDOMAIN_HINT =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or " +
  "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex " +
  "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

export const WILDCARD_HINT =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, " +
  "which must consist of lower case alphanumeric characters, '-' or '.' and end with an " +
  "alphanumeric character (e.g. '*.example.com', regex used for validation is " +
  "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const CONFIG_KEY_HINT =
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. " +
  "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is " +
  "'[-._a-zA-Z0-9]+')";

export function isDnsLabel(text: string): boolean {
  return text.length <= LABEL_MAX && LABEL.test(text);
}

/** A label that begins with a letter (RFC 1035), as names of Services do. */
export function isDnsLabel1035(text: string): boolean {
  return text.length <= LABEL_MAX && LABEL_FROM_LETTER.test(text);
}

export function isSubdomain(text: string): boolean {
  return text.length <= SUBDOMAIN_MAX && SUBDOMAIN.test(text);
}

/** A wildcard such as `*.example.com`. */
export function isWildcard(text: string): boolean {
  return text.length <= SUBDOMAIN_MAX && WILDCARD.test(text);
}

/**
 * The error of a key of a ConfigMap or Secret, null if it is valid. Keys can become file names.
 */
export function faultOfConfigKey(key: string): string | null {
  if (key.length > SUBDOMAIN_MAX) return `must be no more than ${SUBDOMAIN_MAX} bytes`;
  if (!CONFIG_KEY.test(key)) return CONFIG_KEY_HINT;
  if (key === '.' || key === '..') return `must not be '${key}'`;
  return key.startsWith('..') ? "must not start with '..'" : null;
}

/** `[prefix/]name`, as keys of labels and annotations. */
export function isQualifiedName(text: string): boolean {
  const parts = text.split('/');
  const name = parts.pop()!;
  if (parts.length > 1 || (parts.length === 1 && !isSubdomain(parts[0]!))) return false;
  return name.length <= LABEL_MAX && QUALIFIED.test(name);
}

export function isLabelValue(text: string): boolean {
  return text === '' || (text.length <= LABEL_MAX && QUALIFIED.test(text));
}

/** IANA service name (RFC 6335): at least one letter, at most 15 characters. */
export function isPortName(text: string): boolean {
  return PORT_NAME.test(text);
}
