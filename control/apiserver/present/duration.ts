const UNITS_S = { d: 86_400, h: 3600, m: 60, s: 1 };

/**
 * A length of time in at most two units, coarser the longer it is: duration.HumanDuration of
 * apimachinery.
 */
export function formatDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds <= 0) return '0s';
  const { d, h, m } = UNITS_S;
  if (seconds < 2 * m) return `${seconds}s`;
  if (seconds < 10 * m) return pair(seconds, 'm', 's');
  if (seconds < 3 * h) return `${Math.floor(seconds / m)}m`;
  if (seconds < 8 * h) return pair(seconds, 'h', 'm');
  if (seconds < 2 * d) return `${Math.floor(seconds / h)}h`;
  if (seconds < 8 * d) return pair(seconds, 'd', 'h');
  const days = Math.floor(seconds / d);
  if (days < 2 * 365) return `${days}d`;
  const years = Math.floor(days / 365);
  const rest = days % 365;
  return years < 8 && rest > 0 ? `${years}y${rest}d` : `${years}y`;
}

function pair(seconds: number, large: keyof typeof UNITS_S, small: keyof typeof UNITS_S): string {
  const whole = Math.floor(seconds / UNITS_S[large]);
  const rest = Math.floor((seconds % UNITS_S[large]) / UNITS_S[small]);
  return rest === 0 ? `${whole}${large}` : `${whole}${large}${rest}${small}`;
}

/** Time since a timestamp of the API. */
export function formatAge(timestamp: unknown): string {
  if (typeof timestamp !== 'string') return '<unknown>';
  return formatDuration(Date.now() - Date.parse(timestamp));
}
