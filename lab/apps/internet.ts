// The host in a lab's internet: internet.ts ADDRESS HTTP_PORT UDP_PORT DNS_PORT.
import { serveNames } from './names.ts';
import { serveHttp, serveUdp } from './netexec.ts';

const [address = '', ...ports] = process.argv.slice(2);
const [http = 0, udp = 0, dns = 0] = ports.map(Number);
serveHttp(http);
serveUdp(udp);
serveNames(address, dns);
