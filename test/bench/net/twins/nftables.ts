import { Ruleset, TABLE } from '../../../../control/nftables/ruleset.ts';
import { BENCH_NODE, entryOf, frontendOf } from '../image.ts';
import { benchServices } from '../services.ts';
import { addressOf, run, VIP } from '../topology.ts';
import type { Twin } from '../twin.ts';

/** The rules of an agent with --proxy nftables: the same Services, from the datapath's entries. */
export const nftables: Twin = {
  name: 'nftables',
  tool: { program: 'nft', package: 'nftables' },
  datagrams: true,
  attach: 'veth',
  address: VIP,
  async begin(services) {
    const wanted = benchServices(services, addressOf('pod2'));
    const ruleset = new Ruleset();
    ruleset.take({
      ...{ node: BENCH_NODE, remove: [], removeFrontends: [] },
      upsert: wanted.map(entryOf),
      addFrontends: wanted.map(frontendOf),
    });
    run('node', ['nft', '-f', '-'], `${ruleset.whole().join('\n')}\n`);
  },
  async end() {
    run('node', ['nft', '-f', '-'], `add table ${TABLE}\ndelete table ${TABLE}\n`);
  },
};
