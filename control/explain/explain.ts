// Answers to questions: one from the command line, or many as JSON lines.

import { KubetunError } from '../../datapath/error.ts';
import type { Explanation } from './explanation.ts';
import { type Followed, follow, unresolved } from './follow.ts';
import { lookUp } from './lookup.ts';
import { flagOf } from './missing.ts';
import { podOfSource, type Question, type QuestionText, readQuestion } from './question.ts';
import type { ExplainSource } from './source.ts';
import { readNameTarget } from './target.ts';
import { explainUrl, readUrl, servesUrl } from './url.ts';

/** Source ports tried in search of a free one. */
const PORTS_TRIED_MAX = 1000;

/** Addresses of names outside of the cluster, as --resolve gives them. */
export type GivenNames = ReadonlyMap<string, string>;

/**
 * Resolves a name first, as the pod that sends the packet would. Throws KubetunError KT_EXPLAIN
 * for a question that does not fit the cluster.
 */
export function explainQuestion(
  source: ExplainSource,
  text: QuestionText,
  given: GivenNames = new Map(),
): Explanation {
  const url = readUrl(text.to);
  if (url !== null && servesUrl(url, text, source.view)) {
    return explainUrl(url, text, source.view, (packet) =>
      readNameTarget(packet.to) === null
        ? followPacket(source, readQuestion(packet, source.view))
        : { explanation: explainQuestion(source, packet, given), arrived: null },
    );
  }
  const target = readNameTarget(text.to);
  if (target === null) return explainPacket(source, readQuestion(text, source.view));
  const { from } = text;
  const question = { ...target, from, pod: podOfSource(from, source.view), given };
  const followQuery = (to: string) =>
    explainPacket(source, readQuestion({ from, to }, source.view));
  const { lookup, failure, steps } = lookUp(question, source.names, followQuery);
  if (failure !== null) return unresolved(failure, lookup, steps);
  const to = `${lookup.addresses[0]}${target.rest}`;
  const found = explainPacket(source, readQuestion({ ...text, to }, source.view));
  return { ...found, lookup, steps: [...steps, ...found.steps] };
}

/** Takes the first source port without a flow, unless one is given. */
function followPacket(source: ExplainSource, question: Question): Followed {
  if (!question.fixedPort) {
    const prober = source.prober(question.node);
    for (let n = 0; n < PORTS_TRIED_MAX && prober?.knows(question.tuple); n++)
      question.tuple.sport++;
  }
  return follow(question, source.view, source.prober);
}

function explainPacket(source: ExplainSource, question: Question): Explanation {
  return followPacket(source, question).explanation;
}

/** Explains the reply of a flow. Throws KubetunError KT_EXPLAIN. */
export function explainFlow(source: ExplainSource, node: string, id: number): Explanation {
  const prober = source.prober(node);
  if (!prober) {
    const message = `${node} has no datapath with flows`;
    const next = 'start its agent, or ask a node without --proxy nftables';
    throw new KubetunError('KT_EXPLAIN', message, next);
  }
  const tuple = prober.replyOf(id);
  if (!tuple) {
    const message = `${node} has no flow ${id}`;
    throw new KubetunError(
      'KT_EXPLAIN',
      message,
      `scripts/kubetun conntrack list${flagOf(source.view.objects)} --node ${node} lists them`,
    );
  }
  const question = { tuple, fixedPort: true, node, only: false };
  return follow(question, source.view, source.prober, true).explanation;
}

/** Longest line, in characters. A question has about 100. */
const LINE_MAX = 65_536;

/** One JSON answer, without line end, for each line that is not empty. */
export async function* answerLines(
  source: ExplainSource,
  chunks: AsyncIterable<string>,
  given?: GivenNames,
): AsyncGenerator<string> {
  for await (const line of linesOf(chunks)) {
    if (line?.trim() === '') continue;
    await source.refresh();
    yield JSON.stringify(answerLine(source, line, given));
  }
}

function answerLine(
  source: ExplainSource,
  line: string | null,
  given: GivenNames | undefined,
): object {
  try {
    if (line === null) throw refuse(`a line has more than ${LINE_MAX} characters`);
    return explainQuestion(source, parseQuestion(line), given);
  } catch (error) {
    const { message, next = '' } = error as KubetunError;
    return { error: next ? `${message}: ${next}` : message };
  }
}

/** Ignores other fields. Throws KubetunError KT_EXPLAIN. */
function parseQuestion(line: string): QuestionText {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw refuse((error as Error).message);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse('the question is not a JSON object');
  }
  const { from, to, sport, node } = value as Record<string, unknown>;
  return {
    from: textOf('from', from),
    to: textOf('to', to),
    sport: sport === null ? undefined : (sport as number | undefined),
    node: node === undefined || node === null ? undefined : textOf('node', node),
  };
}

function textOf(field: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw refuse(`${field} is ${value === undefined ? 'missing' : 'not a string'}`);
}

function refuse(message: string): KubetunError {
  const next = 'give {"from", "to"} and optionally "sport" and "node"';
  return new KubetunError('KT_EXPLAIN', message, next, { usage: true });
}

/** Lines of a stream; null for a line that is too long. */
async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string | null> {
  let rest = '';
  let tooLong = false;
  for await (const chunk of chunks) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop()!;
    for (const part of parts) {
      yield tooLong || part.length > LINE_MAX ? null : part;
      tooLong = false;
    }
    if (rest.length > LINE_MAX) tooLong = true;
    if (tooLong) rest = '';
  }
  if (tooLong) yield null;
  else yield rest;
}
