// A kubectl in its own namespace.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from 'node:test';
import { stringify } from 'yaml';
import type { Outcome } from '../../support/lab.ts';
import { type Binary, findKubectls } from './binaries.ts';

/** Rounds that run at once: they mostly wait for the server and for pods. */
export const ROUNDS_AT_ONCE = 4;

/** GOGC of kubectl. By default, garbage collection took a third of its short life. */
export const GARBAGE_PERCENT = '400';

export interface Background {
  child: ChildProcess;
  /** Its output so far, of both streams. */
  output(): string;
  /** Interrupts it and waits for its end. */
  stop(): Promise<Outcome>;
}

export class Kubectl {
  readonly minor: number;
  readonly namespace: string;
  readonly #path: string;
  readonly #env: Record<string, string>;
  /** Its discovery cache, not shared with other versions. */
  readonly #home = mkdtempSync(join(tmpdir(), 'kubetun-kubectl-'));

  constructor({ path, minor }: Binary, kubeconfig: string) {
    this.minor = minor;
    this.namespace = `k1-${minor}`;
    this.#path = path;
    this.#env = {
      ...(process.env as Record<string, string>),
      ...{ HOME: this.#home, KUBECONFIG: kubeconfig, GOGC: GARBAGE_PERCENT },
    };
  }

  /** Runs it to its end; `input` is its stdin, objects as YAML. */
  async run(args: string[], input: string | object[] = '', env = {}): Promise<Outcome> {
    const { child, done } = this.#spawn(args, env);
    child.stdin!.on('error', () => {});
    child.stdin!.end(typeof input === 'string' ? input : yamlOf(input));
    return done;
  }

  /** Runs it, requires success without a warning, and returns its output. */
  async ok(args: string[], input: string | object[] = '', env = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, input, env);
    assert.equal(stderr, '', `kubectl ${args.join(' ')}`);
    assert.equal(code, 0, `kubectl ${args.join(' ')}`);
    return stdout;
  }

  start(args: string[], env = {}): Background {
    const { child, done, out } = this.#spawn(args, env);
    const stop = () => {
      child.kill('SIGINT');
      return done;
    };
    return { child, output: () => out.stdout + out.stderr, stop };
  }

  close(): void {
    rmSync(this.#home, { recursive: true });
  }

  #spawn(args: string[], env: object) {
    // A Namespace has no namespace; kubectl warns if one is given.
    const place = /^(ns|namespace)$/.test(args[1] ?? '') ? [] : ['-n', this.namespace];
    const child = spawn(this.#path, [...place, ...args], {
      env: { ...this.#env, ...env },
    });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        out[name] += text;
      });
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    const done = new Promise<Outcome>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(timer);
        resolve({ code, ...out });
      });
    });
    return { child, done, out };
  }
}

/** The same tests for every kubectl from a minor version on. Several rounds run at once. */
export function describeEach(
  what: string,
  minorMin: number,
  round: (binary: Binary) => void,
): void {
  const binaries = findKubectls().filter(({ minor }) => minor >= minorMin);
  describe(what, { concurrency: ROUNDS_AT_ONCE }, () => {
    for (const binary of binaries) {
      describe(`kubectl ${binary.version}`, { concurrency: 1 }, () => round(binary));
    }
  });
}

export function yamlOf(objects: object[]): string {
  return objects.map((object) => stringify(object)).join('---\n');
}
