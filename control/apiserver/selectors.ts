// Label and field selectors: apimachinery/pkg/labels, pkg/fields.
import type { KubeObject } from './object.ts';
import { badRequest } from './status.ts';

export type Matcher = (object: KubeObject) => boolean;

const KEY = '[\\w./-]+';
const SET = new RegExp(`^(${KEY})\\s+(in|notin)\\s+\\(([^)]*)\\)$`);
const EQUALITY = new RegExp(`^(${KEY})\\s*(==|=|!=)\\s*([\\w.-]*)$`);
const EXISTS = new RegExp(`^(!?)\\s*(${KEY})$`);

/** A matcher for a label selector such as `app=web,tier in (a, b),!old`. Throws StatusError BadRequest. */
export function parseLabelSelector(text: string): Matcher {
  const tests = splitTerms(text).map(parseLabelTerm);
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

/** Commas inside brackets separate values, not terms. */
function splitTerms(text: string): string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((term) => term.trim())
    .filter((term) => term !== '');
}

function parseLabelTerm(term: string): (labels: Record<string, string>) => boolean {
  const set = SET.exec(term);
  if (set) {
    const key = set[1]!;
    const values = new Set(set[3]!.split(',').map((value) => value.trim()));
    if (set[2] === 'in') return (labels) => key in labels && values.has(labels[key]!);
    return (labels) => !(key in labels) || !values.has(labels[key]!);
  }
  const equality = EQUALITY.exec(term);
  if (equality) {
    const [, key, operator, value] = equality as unknown as string[];
    if (operator === '!=') return (labels) => labels[key!] !== value;
    return (labels) => labels[key!] === value;
  }
  const exists = EXISTS.exec(term);
  if (!exists) throw badRequest(`unable to parse requirement: ${term}`);
  const key = exists[2]!;
  return exists[1] === '!' ? (labels) => !(key in labels) : (labels) => key in labels;
}

/** A matcher for a field selector such as `metadata.name=a,status.phase!=Failed`. Throws StatusError BadRequest. */
export function parseFieldSelector(
  text: string,
  fields: Record<string, (object: KubeObject) => string>,
): Matcher {
  const tests = splitTerms(text).map((term): Matcher => {
    const found = /^([\w.]+)(==|=|!=)(.*)$/.exec(term);
    if (!found) throw badRequest(`invalid selector: '${term}'; can't understand '${term}'`);
    const [, name, operator, value] = found as unknown as string[];
    const read =
      name === 'metadata.name'
        ? (object: KubeObject) => object.metadata.name
        : name === 'metadata.namespace'
          ? (object: KubeObject) => object.metadata.namespace ?? ''
          : fields[name!];
    if (!read) throw badRequest(`field label not supported: ${name}`);
    return operator === '!=' ? (o) => read(o) !== value : (o) => read(o) === value;
  });
  return (object) => tests.every((test) => test(object));
}
