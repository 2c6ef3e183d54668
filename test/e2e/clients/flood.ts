// flood ADDR PORT COUNT RATE: so many SYNs to one address, each from another source that does not exist, so many a
// second. Works by a TUN device of the namespace that it runs in, which forwards. Prints how many were sent.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mapMemory, write } from '../../../datapath/io/sys.ts';
import { openTun } from '../../../datapath/io/tun.ts';
import { firstPacket } from '../../../datapath/observe/packet.ts';
import { parseAddress } from '../../../datapath/wire/address.ts';
import { PROTO_TCP } from '../../../datapath/wire/layout.ts';

const [address, port, count, rate] = process.argv.slice(2) as [string, string, string, string];
const DEVICE = 'flood0';
/** Nobody has these (RFC 6890 knows no use of 11.0.0.0/8 here), and the cloud drops what is sent to them. */
const SOURCE_FIRST = parseAddress('11.0.0.1')!;
const TICK_MS = 2;

const tun = openTun(DEVICE);
execFileSync('ip', ['link', 'set', DEVICE, 'up']);
writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
const memory = mapMemory(4096);
const bytes = new Uint8Array(memory.buffer);
const started = performance.now();
let sent = 0;
let refused = 0;
while (sent < Number(count)) {
  const due = Math.min(Number(count), ((performance.now() - started) * Number(rate)) / 1000);
  for (; sent < due; sent++) {
    const packet = firstPacket({
      ...{ proto: PROTO_TCP, src: SOURCE_FIRST + sent, sport: 1024 + (sent % 60_000) },
      ...{ dst: parseAddress(address)!, dport: Number(port) },
    });
    bytes.set(packet);
    if (write(tun.fd, memory.address, packet.length) < 0) refused++;
  }
  await new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
const seconds = (performance.now() - started) / 1000;
execFileSync('ip', ['link', 'del', DEVICE]);
console.log(JSON.stringify({ sent, refused, seconds: Number(seconds.toFixed(1)) }));
process.exit(0);
