// Rules of the policies of Jobs about failed and succeeded pods: pkg/apis/batch/validation.
import { parseIndexes } from '../../model/indexes.ts';
import { type FieldError, notSupported, required, wrong } from '../status.ts';
import { QUALIFIED_NAME } from './formats.ts';

const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const OPERATORS = ['In', 'NotIn'];
const STATUSES = ['False', 'True', 'Unknown'];
const RULES_MAX = 20;
const CODES_MAX = 255;

// biome-ignore-start lint/suspicious/noExplicitAny: types are checked by the schema before.
export function validateFailurePolicy(at: string, spec: any): FieldError[] {
  const rules: any[] = spec.podFailurePolicy.rules ?? [];
  const { containers = [], initContainers = [] } = spec.template?.spec ?? {};
  const names = [...containers, ...initContainers].map(({ name }) => name);
  const errors = tooMany(`${at}.rules`, rules, RULES_MAX);
  for (const [i, rule] of rules.entries()) {
    errors.push(...validateRule(`${at}.rules[${i}]`, rule, spec, names));
  }
  return errors;
}

function validateRule(at: string, rule: any, spec: any, names: string[]): FieldError[] {
  const errors: FieldError[] = [];
  const { action, onExitCodes, onPodConditions = [] } = rule;
  if (!action) errors.push(required(`${at}.action`, `valid values: ${JSON.stringify(ACTIONS)}`));
  else if (action === 'FailIndex' && spec.backoffLimitPerIndex === undefined) {
    const detail = 'requires the backoffLimitPerIndex to be set';
    errors.push(wrong(`${at}.action`, action, detail));
  } else if (!ACTIONS.includes(action)) {
    errors.push(notSupported(`${at}.action`, action, ACTIONS));
  }
  if (onExitCodes) errors.push(...validateCodes(`${at}.onExitCodes`, onExitCodes, names));
  errors.push(...tooMany(`${at}.onPodConditions`, onPodConditions, RULES_MAX));
  for (const [i, { type = '', status }] of onPodConditions.entries()) {
    const field = `${at}.onPodConditions[${i}]`;
    if (!QUALIFIED_NAME.test(type)) errors.push(wrong(`${field}.type`, type, QUALIFIED_NAME.hint));
    if (!status) errors.push(required(`${field}.status`));
    else if (!STATUSES.includes(status)) {
      errors.push(notSupported(`${field}.status`, status, STATUSES));
    }
  }
  if (onExitCodes && onPodConditions.length > 0) {
    errors.push(
      wrong(at, rule, 'specifying both OnExitCodes and OnPodConditions is not supported'),
    );
  }
  if (!onExitCodes && onPodConditions.length === 0) {
    errors.push(wrong(at, rule, 'specifying one of OnExitCodes and OnPodConditions is required'));
  }
  return errors;
}

function validateCodes(at: string, codes: any, names: string[]): FieldError[] {
  const errors: FieldError[] = [];
  const { operator, values = [], containerName } = codes;
  if (!operator)
    errors.push(required(`${at}.operator`, `valid values: ${JSON.stringify(OPERATORS)}`));
  else if (!OPERATORS.includes(operator)) {
    errors.push(notSupported(`${at}.operator`, operator, OPERATORS));
  }
  if (containerName !== undefined && !names.includes(containerName)) {
    const detail = 'must be one of the container or initContainer names in the pod template';
    errors.push(wrong(`${at}.containerName`, containerName, detail));
  }
  if (values.length === 0) {
    errors.push(wrong(`${at}.values`, values, 'at least one value is required'));
  }
  errors.push(...tooMany(`${at}.values`, values, CODES_MAX));
  for (const [i, value] of values.entries()) {
    const field = `${at}.values[${i}]`;
    if (value === 0 && operator === 'In') {
      errors.push(wrong(field, value, 'must not be 0 for the In operator'));
    } else if (i > 0 && values[i - 1] === value) {
      errors.push({
        ...wrong(field, value, ''),
        reason: 'FieldValueDuplicate',
        message: `Duplicate value: ${value}`,
      });
    } else if (i > 0 && values[i - 1] > value) {
      errors.push(wrong(`${at}.values`, values, 'must be ordered'));
    }
  }
  return errors;
}

export function validateSuccessPolicy(at: string, spec: any): FieldError[] {
  if (spec.completionMode !== 'Indexed') {
    return [wrong(at, spec.successPolicy, 'requires indexed completion mode')];
  }
  const rules: any[] = spec.successPolicy.rules ?? [];
  const field = `${at}.rules`;
  if (rules.length === 0) {
    return [
      required(field, 'at least one rules must be specified when the successPolicy is specified'),
    ];
  }
  const errors = tooMany(field, rules, RULES_MAX);
  for (const [i, { succeededIndexes, succeededCount }] of rules.entries()) {
    const rule = `${field}[${i}]`;
    if (succeededIndexes === undefined && succeededCount === undefined) {
      errors.push(
        required(rule, 'at least one of succeededCount or succeededIndexes must be specified'),
      );
    }
    const { completions } = spec;
    const count =
      succeededIndexes === undefined ? completions : indexCount(succeededIndexes, completions);
    if (count === null) {
      const detail = `cannot parse a list of indexes below ${completions} such as 0,2-4`;
      errors.push(
        wrong(
          `${rule}.succeededIndexes`,
          succeededIndexes,
          `error parsing succeededIndexes: ${detail}`,
        ),
      );
    } else if (succeededCount > count) {
      const detail = `must be less than or equal to ${count} (the number of indexes)`;
      errors.push(wrong(`${rule}.succeededCount`, succeededCount, detail));
    }
    if (succeededCount < 0) {
      const detail = 'must be greater than or equal to 0';
      errors.push(wrong(`${rule}.succeededCount`, succeededCount, detail));
    }
  }
  return errors;
}
// biome-ignore-end lint/suspicious/noExplicitAny: as above.

/** The number of indexes in a list, null if it is none. */
function indexCount(text: string, completions: number): number | null {
  if (!/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) return null;
  const bounds = text.split(/[,-]/).map(Number);
  const isOrdered = bounds.every((index, i) => i === 0 || index > bounds[i - 1]!);
  if (!isOrdered || bounds.at(-1)! >= completions) return null;
  return parseIndexes(text, completions).size;
}

function tooMany(field: string, list: unknown[], max: number): FieldError[] {
  if (list.length <= max) return [];
  const message = `Too many: ${list.length}: must have at most ${max} items`;
  return [{ field, reason: 'FieldValueTooMany', message }];
}
