// Label selectors of objects: apimachinery/pkg/apis/meta/v1 (LabelSelectorAsSelector).
type Labels = Record<string, string>;

export interface SelectorRule {
  key: string;
  operator: string;
  values?: string[];
}

export interface LabelSelector {
  matchLabels?: Labels;
  matchExpressions?: SelectorRule[];
}

/**
 * True if a selector selects labels. An empty selector selects everything, a missing one nothing.
 */
export function selects(selector: LabelSelector | undefined, labels: Labels = {}): boolean {
  if (!selector) return false;
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  }
  return (selector.matchExpressions ?? []).every((rule) => fulfils(rule, labels));
}

/** True if labels fulfil one rule. No labels fulfil an unknown operator. */
export function fulfils({ key, operator, values = [] }: SelectorRule, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    // For nodes only. Labels that are no integers fulfil neither.
    case 'Gt':
      return isInteger(value) && Number(value) > Number(values[0]);
    case 'Lt':
      return isInteger(value) && Number(value) < Number(values[0]);
  }
  return false;
}

function isInteger(text: string | undefined): boolean {
  return text !== undefined && /^[+-]?\d+$/.test(text);
}
