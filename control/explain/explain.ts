// Questions answered.
import { KubetunError } from '../../datapath/error.ts';
import { type Explanation, follow } from './follow.ts';
import { type QuestionText, readQuestion } from './question.ts';
import type { ExplainSource } from './source.ts';

/** Ports that are looked at for one that no connection has. */
const PORTS_TRIED_MAX = 1000;

/** Throws KubetunError KT_EXPLAIN for a question that makes no sense in this cluster. */
export function explainQuestion(source: ExplainSource, text: QuestionText): Explanation {
  const question = readQuestion(text, source.view);
  if (!question.fixedPort) {
    const prober = source.prober(question.node);
    for (let n = 0; n < PORTS_TRIED_MAX && prober?.knows(question.tuple); n++)
      question.tuple.sport++;
  }
  return follow(question, source.view, source.prober);
}

/**
 * What becomes of the answer in a connection that a node tracks. Throws KubetunError KT_EXPLAIN.
 */
export function explainFlow(source: ExplainSource, node: string, id: number): Explanation {
  const prober = source.prober(node);
  if (!prober) {
    const message = `${node} has no datapath that could be asked`;
    throw new KubetunError('KT_EXPLAIN', message, 'is its agent running?');
  }
  const tuple = prober.replyOf(id);
  if (!tuple) {
    const message = `${node} tracks no connection ${id}`;
    throw new KubetunError('KT_EXPLAIN', message, `scripts/kubetun conntrack list --node ${node}`);
  }
  return follow({ tuple, fixedPort: true, node, only: false }, source.view, source.prober, true);
}
