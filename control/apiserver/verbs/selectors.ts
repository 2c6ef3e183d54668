// Label and field selectors: apimachinery/pkg/labels, pkg/fields.

import { isObject, type KubeObject } from '../../kube/object.ts';
import { fulfils, type SelectorRule } from '../../model/label-selector.ts';
import { badRequest, wrong } from '../status.ts';
import { LABEL_VALUE, QUALIFIED_NAME } from '../validate/formats.ts';

export type Matcher = (object: KubeObject) => boolean;

/** Symbols, longest first, then words. */
const TOKEN = /\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+|$)/y;
const SYMBOL = /^[=!(),<>]/;
const OPERATORS = 'in, notin, =, ==, !=, gt, lt';
const RULES: Record<string, string> = { in: 'In', notin: 'NotIn', '>': 'Gt', '<': 'Lt' };
const INTEGER = /^[+-]?\d+$/;

/**
 * A matcher for a label selector such as `app=web,tier in (a, b),!old`. Throws StatusError
 * BadRequest.
 */
export function parseLabelSelector(text: string): Matcher {
  const rules = new LabelParser(text).parse();
  return ({ metadata }) => rules.every((rule) => fulfils(rule, metadata.labels ?? {}));
}

/** The grammar of apimachinery/pkg/labels (Parser), with its messages. */
class LabelParser {
  readonly #tokens: string[] = [];
  #at = 0;

  constructor(text: string) {
    TOKEN.lastIndex = 0;
    for (let token = TOKEN.exec(text)?.[1]; token; token = TOKEN.exec(text)?.[1]) {
      this.#tokens.push(token);
    }
  }

  parse(): SelectorRule[] {
    const rules: SelectorRule[] = [];
    while (this.#next !== '') {
      if (!isWord(this.#next) && this.#next !== '!') {
        throw this.#misfit("!, identifier, or 'end of string'");
      }
      rules.push(this.#requirement());
      const separator = this.#take();
      if (separator === '') break;
      if (separator !== ',') throw unexpected(separator, "',' or 'end of string'");
      if (!isWord(this.#next) && this.#next !== '!') throw this.#misfit("identifier after ','");
    }
    return rules;
  }

  /** '' at the end. */
  get #next(): string {
    return this.#tokens[this.#at] ?? '';
  }

  #take(): string {
    const token = this.#next;
    this.#at++;
    return token;
  }

  #misfit(expected: string): Error {
    return unexpected(this.#next, expected);
  }

  #requirement(): SelectorRule {
    const isNegated = this.#next === '!';
    if (isNegated) this.#take();
    if (!isWord(this.#next)) throw unparsed(`found '${this.#next}', expected: identifier`);
    const key = this.#take();
    if (!QUALIFIED_NAME.test(key)) throw unparsed(said(wrong('<nil>', key, QUALIFIED_NAME.hint)));
    const isAlone = this.#next === '' || this.#next === ',';
    if (isNegated || isAlone) {
      if (!isAlone) throw this.#misfit("',' or 'end of string'");
      return { key, operator: isNegated ? 'DoesNotExist' : 'Exists' };
    }
    const symbol = this.#take();
    if (symbol === 'in' || symbol === 'notin') {
      return this.#checked({ key, operator: RULES[symbol]!, values: this.#values() });
    }
    if (symbol === '=' || symbol === '==') {
      return this.#checked({ key, operator: 'In', values: [this.#value()] });
    }
    if (symbol === '!=') return this.#checked({ key, operator: 'NotIn', values: [this.#value()] });
    if (symbol !== '>' && symbol !== '<') {
      throw unparsed(`found '${symbol}', expected: ${OPERATORS}`);
    }
    const values = [this.#value()];
    if (!INTEGER.test(values[0]!)) {
      const why = "for 'Gt', 'Lt' operators, the value must be an integer";
      throw unparsed(said(wrong('values[0]', values[0], why)));
    }
    return { key, operator: RULES[symbol]!, values };
  }

  #checked(rule: SelectorRule & { values: string[] }): SelectorRule {
    if (rule.values.length === 0) {
      const why = "for 'in', 'notin' operators, values set can't be empty";
      throw unparsed(said(wrong('values', rule.values, why)));
    }
    const at = rule.values.findIndex((value) => !LABEL_VALUE.test(value));
    if (at < 0) return rule;
    throw unparsed(said(wrong(`values[${at}][${rule.key}]`, rule.values[at], LABEL_VALUE.hint)));
  }

  #value(): string {
    if (this.#next === '' || this.#next === ',') return '';
    if (isWord(this.#next)) return this.#take();
    throw unparsed(`found '${this.#next}', expected: identifier`);
  }

  /** Values in parentheses. A missing value between two commas is empty. */
  #values(): string[] {
    const open = this.#take();
    if (open !== '(') throw unparsed(`found '${open}' expected: '('`);
    if (this.#next === ')') {
      this.#take();
      return [];
    }
    const values = new Set<string>();
    for (;;) {
      values.add(isWord(this.#next) ? this.#take() : '');
      const separator = this.#take();
      if (separator === ')') return [...values].sort();
      if (separator !== ',') throw unparsed(`found '${separator}', expected: ',' or ')'`);
    }
  }
}

function isWord(token: string): boolean {
  return token !== '' && !SYMBOL.test(token);
}

function unexpected(found: string, expected: string): Error {
  return badRequest(`found '${found}', expected: ${expected}`);
}

function unparsed(why: string): Error {
  return badRequest(`unable to parse requirement: ${why}`);
}

function said({ field, message }: { field: string; message: string }): string {
  return `${field}: ${message}`;
}

/**
 * A matcher for a field selector such as `metadata.name=a,status.phase!=Failed`; a backslash
 * escapes a comma, an equals sign or a backslash. Throws StatusError BadRequest.
 */
export function parseFieldSelector(
  text: string,
  fields: Record<string, (object: KubeObject) => string>,
): Matcher {
  const terms = text.match(/(?:\\.|[^,\\])+|\\$/gs) ?? [];
  const tests = terms.map((term): Matcher => {
    const found = /^([^=!]+)(==|=|!=)((?:\\[\\,=]|[^\\,=])*)$/.exec(term);
    if (!found) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
    const [, name, operator, escaped] = found as unknown as [string, string, string, string];
    const value = escaped.replace(/\\(.)/g, '$1');
    const read = readerOf(name, fields);
    return operator === '!=' ? (o) => read(o) !== value : (o) => read(o) === value;
  });
  return (object) => tests.every((test) => test(object));
}

function readerOf(
  name: string,
  fields: Record<string, (object: KubeObject) => string>,
): (object: KubeObject) => string {
  if (name === 'metadata.name') return ({ metadata }) => metadata.name;
  if (name === 'metadata.namespace') return ({ metadata }) => metadata.namespace ?? '';
  const read = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (!read) throw badRequest(`field label not supported: ${name}`);
  return read;
}

const NONE = '<none>';

/** Labels as text: `a=1,b=2`. */
export function formatLabels(labels: unknown): string {
  if (!isObject(labels)) return NONE;
  const pairs = Object.keys(labels).map((key) => `${key}=${labels[key]}`);
  return pairs.sort().join(',') || NONE;
}

/** A selector of an object as text: `a=1,b in (2,3),!c`. */
export function formatSelector(selector: unknown): string {
  if (!isObject(selector)) return NONE;
  const { matchLabels, matchExpressions = [] } = selector;
  const labels = isObject(matchLabels) && Object.keys(matchLabels).length > 0;
  const rules = (matchExpressions as SelectorRule[]).map(({ key, operator, values }) => {
    if (operator === 'Exists') return key;
    if (operator === 'DoesNotExist') return `!${key}`;
    return `${key} ${operator === 'NotIn' ? 'notin' : 'in'} (${values?.join(',') ?? ''})`;
  });
  return [...(labels ? [formatLabels(matchLabels)] : []), ...rules].join(',') || NONE;
}
