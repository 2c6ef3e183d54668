// flood ADDR PORT COUNT RATE: sends COUNT SYNs to one address, RATE per second, each from another
// source that does not exist. Uses a TUN device of its namespace, which forwards. Prints how many
// were sent.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mapMemory, write } from '../../../datapath/io/sys.ts';
import { openTun } from '../../../datapath/io/tun.ts';
import { firstPacket } from '../../../datapath/observe/packet.ts';
import { parseAddress } from '../../../datapath/wire/address.ts';
import { addSums, deltaOfWord, patchFull } from '../../../datapath/wire/checksum.ts';
import {
  IP4_HEADER_BYTES_MIN,
  IP4_OFF_SRC,
  IP4_OFF_SUM,
  PROTO_TCP,
} from '../../../datapath/wire/ipv4.ts';
import { TCP_OFF_SUM } from '../../../datapath/wire/tcp.ts';
import { VNET_HEADER_BYTES } from '../../../datapath/wire/vnet.ts';

const [address, port, count, rate] = process.argv.slice(2) as [string, string, string, string];
const DEVICE = 'flood0';
/** Unused addresses: the cloud drops packets to 11.0.0.0/8. */
const SOURCE_FIRST = parseAddress('11.0.0.1')!;
const TICK_MS = 2;

const tun = openTun(DEVICE);
execFileSync('ip', ['link', 'set', DEVICE, 'up']);
writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
const memory = mapMemory(4096);
const view = new DataView(memory.buffer);
const first = firstPacket({
  ...{ proto: PROTO_TCP, src: SOURCE_FIRST, sport: 0 },
  ...{ dst: parseAddress(address)!, dport: Number(port) },
});
new Uint8Array(memory.buffer).set(first);
const IP = VNET_HEADER_BYTES;
const TCP = IP + IP4_HEADER_BYTES_MIN;
const [IP_SUM, TCP_SUM] = [view.getUint16(IP + IP4_OFF_SUM), view.getUint16(TCP + TCP_OFF_SUM)];

/** Reuses the first packet with another source: a new one each time would be too slow. */
function aim(n: number): void {
  const sport = 1024 + (n % 60_000);
  const moved = deltaOfWord(SOURCE_FIRST, SOURCE_FIRST + n);
  view.setInt32(IP + IP4_OFF_SRC, SOURCE_FIRST + n);
  view.setUint16(IP + IP4_OFF_SUM, patchFull(IP_SUM, moved));
  view.setUint16(TCP, sport);
  view.setUint16(TCP + TCP_OFF_SUM, patchFull(TCP_SUM, addSums(moved, sport)));
}

const started = performance.now();
let sent = 0;
let refused = 0;
while (sent < Number(count)) {
  const due = Math.min(Number(count), ((performance.now() - started) * Number(rate)) / 1000);
  for (; sent < due; sent++) {
    aim(sent);
    if (write(tun.fd, memory.address, first.length) < 0) refused++;
  }
  await new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
const seconds = (performance.now() - started) / 1000;
execFileSync('ip', ['link', 'del', DEVICE]);
console.log(JSON.stringify({ sent, refused, seconds: Number(seconds.toFixed(1)) }));
process.exit(0);
