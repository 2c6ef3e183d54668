// Command lines of the built-in programs.
import { parseArgs } from 'node:util';

/**
 * Reads `--name value`, `--name=value` and positional words. Ends the process with one line for an
 * unknown option.
 *
 * @param defaults options with their defaults; the type of a default is that of the option.
 */
export function readOptions<T extends Record<string, string | boolean>>(
  args: string[],
  defaults: T,
): { options: T; words: string[] } {
  const kinds = Object.entries(defaults).map(([name, value]) => [
    name,
    { type: typeof value as 'string' | 'boolean', default: value },
  ]);
  try {
    const { values, positionals } = parseArgs({
      args: withDoubleDashes(args, defaults),
      allowPositionals: true,
      options: Object.fromEntries(kinds),
    });
    return { options: values as T, words: positionals };
  } catch (error) {
    refuse((error as Error).message);
  }
}

/** Go programs also take options with one dash: `-text=hi`. */
function withDoubleDashes(args: string[], defaults: object): string[] {
  return args.map((word) => {
    const name = /^-([a-z][\w-]*)(=|$)/.exec(word)?.[1];
    return name !== undefined && Object.hasOwn(defaults, name) ? `-${word}` : word;
  });
}

export function refuse(message: string): never {
  console.error(message);
  process.exit(2);
}

export function readPort(option: string, text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  refuse(`--${option} takes a port from 1 to 65535, not ${text}`);
}

/** A duration as Go writes it, such as `5s` or `1m30s`, in milliseconds. */
export function readDuration(option: string, text: string): number {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) {
    refuse(`--${option} takes a duration such as 5s, not ${text}`);
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * units[unit!]!, 0);
}
