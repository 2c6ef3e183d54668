// The answer table: a question, its transport and flags, and every section of the answer.
// Unit tests ask it of the server's functions, the end-to-end test with dig through the Service.
import type { PodMode } from '../../../../control/dns/zone.ts';
import { type Ask, SOA } from './world.ts';

export interface Row extends Ask {
  rcode?: string;
  /** Records have the name of the question unless they give another one. */
  answers?: string[];
  authority?: string[];
  additional?: string[];
  isForwarded?: boolean;
  pods?: PodMode;
  isSynced?: boolean;
}

export type Line = [name: string, type: string, row: Row];

const NX: Row = { rcode: 'NXDOMAIN', authority: [SOA] };
const NODATA: Row = { authority: [SOA] };
const FORWARDED: Row = { isForwarded: true };
const own = (name: string, ...data: string[]) => data.map((text) => `${name} ${text}`);

const S = 'testns.svc.cluster.local';
const P = 'testns.pod.cluster.local';
const at = (name: string, type: string, ...data: string[]): Line => [
  name,
  type,
  { answers: own(name, ...data) },
];
const HDLS = ['172-0-0-2', '172-0-0-3', 'dup-name', '5678-abcd--1', '5678-abcd--2'];
const hdls = (i: number) => `${HDLS[i]}.hdls1.${S}`;
const HDLS_SRV = (name: string) => HDLS.map((_, i) => `${name} SRV 5 0 14 80 ${hdls(i)}`);
const HDLS_ADDRESSES = [
  `${hdls(0)} A 5 172.0.0.2`,
  `${hdls(1)} A 5 172.0.0.3`,
  `${hdls(2)} A 5 172.0.0.4`,
  `${hdls(2)} A 5 172.0.0.5`,
  `${hdls(3)} AAAA 5 5678:abcd::1`,
  `${hdls(4)} AAAA 5 5678:abcd::2`,
];

const CLUSTER_IP: Line[] = [
  at(`svc1.${S}`, 'A', 'A 5 10.96.40.1'),
  [`svc1.${S}`, 'AAAA', NODATA],
  [`svc1.${S}`, 'TXT', NODATA],
  [`svc1.${S}`, 'MX', NODATA],
  [`svc1.${S}`, 'NS', NODATA],
  [`svc1.${S}`, 'SOA', NODATA],
  [`svc1.${S}`, 'CNAME', NODATA],
  [`svc1.${S}`, 'PTR', NODATA],
  [`svc1.${S}`, 'HINFO', NODATA],
  at(`svcempty.${S}`, 'A', 'A 5 10.96.40.2'),
  at(`svc6.${S}`, 'AAAA', 'AAAA 5 1234:abcd::1'),
  [`svc6.${S}`, 'A', NODATA],
  at(`dual.${S}`, 'A', 'A 5 10.96.40.3'),
  at(`dual.${S}`, 'AAAA', 'AAAA 5 10::3'),
  at(`many.${S}`, 'A', 'A 5 10.96.40.4'),
  at(`portless.${S}`, 'A', 'A 5 10.96.40.5'),
  [`portless.${S}`, 'SRV', NODATA],
  [`nothing.${S}`, 'A', NX],
  [`nothing.${S}`, 'AAAA', NX],
  [`nothing.${S}`, 'SRV', NX],
  [`nothing.${S}`, 'TXT', NX],
  [`nothing.${S}`, 'HINFO', NX],
  [`nothing.${S}`, 'SOA', NX],
  ['svc1.nons.svc.cluster.local', 'A', NX],
  [`a.b.c.svc1.${S}`, 'A', NX],
  [`svc1.${S}.`, 'A', { answers: own(`svc1.${S}`, 'A 5 10.96.40.1') }],
];

const CASE: Line[] = [
  at('SVC1.TestNS.Svc.Cluster.LOCAL', 'A', 'A 5 10.96.40.1'),
  at(`sVc6.${S}`, 'AAAA', 'AAAA 5 1234:abcd::1'),
  [
    'NoThing.testns.svc.cluster.local',
    'A',
    { ...NX, authority: [SOA.replace('cluster', 'cluster')] },
  ],
  [
    '_HTTP._Tcp.svc1.testns.svc.cluster.local',
    'SRV',
    {
      answers: [`_HTTP._Tcp.svc1.${S} SRV 5 0 100 80 svc1.${S}`],
      additional: [`svc1.${S} A 5 10.96.40.1`],
    },
  ],
  at('DNS-Version.cluster.local', 'TXT', 'TXT 28800 1.1.0'),
];

const PORTS: Line[] = [
  [
    `svc1.${S}`,
    'SRV',
    { answers: [`svc1.${S} SRV 5 0 100 80 svc1.${S}`], additional: [`svc1.${S} A 5 10.96.40.1`] },
  ],
  [
    `_http._tcp.svc1.${S}`,
    'SRV',
    {
      answers: [`_http._tcp.svc1.${S} SRV 5 0 100 80 svc1.${S}`],
      additional: [`svc1.${S} A 5 10.96.40.1`],
    },
  ],
  at(`_http._tcp.svc1.${S}`, 'A', 'A 5 10.96.40.1'),
  [`_http._tcp.svc1.${S}`, 'AAAA', NODATA],
  [`_http._tcp.svc1.${S}`, 'TXT', NODATA],
  [`_tcp.svc1.${S}`, 'SRV', NODATA],
  [`_tcp.svc1.${S}`, 'A', NODATA],
  [`_udp.svc1.${S}`, 'A', NX],
  [`_tcp.hdls1.${S}`, 'A', NODATA],
  [`_tcp.hdlsnone.${S}`, 'A', NX],
  [`_tcp.unnamed.${S}`, 'A', NX],
  [`_https._tcp.svc1.${S}`, 'SRV', NX],
  [`_http._udp.svc1.${S}`, 'SRV', NX],
  [
    `_dns._udp.many.${S}`,
    'SRV',
    {
      answers: [`_dns._udp.many.${S} SRV 5 0 100 53 many.${S}`],
      additional: [`many.${S} A 5 10.96.40.4`],
    },
  ],
  [`_dns._tcp.many.${S}`, 'SRV', NX],
  [
    `many.${S}`,
    'SRV',
    {
      answers: [443, 53, 80].map((port) => `many.${S} SRV 5 0 25 ${port} many.${S}`),
      additional: [`many.${S} A 5 10.96.40.4`],
    },
  ],
  [
    `dual.${S}`,
    'SRV',
    {
      answers: [`dual.${S} SRV 5 0 50 80 dual.${S}`],
      additional: [`dual.${S} A 5 10.96.40.3`, `dual.${S} AAAA 5 10::3`],
    },
  ],
  [`_a._http._tcp.svc1.${S}`, 'SRV', NX],
];

const HEADLESS: Line[] = [
  at(
    `hdls1.${S}`,
    'A',
    ...['172.0.0.2', '172.0.0.3', '172.0.0.4', '172.0.0.5'].map((text) => `A 5 ${text}`),
  ),
  at(`hdls1.${S}`, 'AAAA', 'AAAA 5 5678:abcd::1', 'AAAA 5 5678:abcd::2'),
  [`hdls1.${S}`, 'TXT', NODATA],
  [
    `_http._tcp.hdls1.${S}`,
    'SRV',
    { answers: HDLS_SRV(`_http._tcp.hdls1.${S}`), additional: HDLS_ADDRESSES },
  ],
  [`hdls1.${S}`, 'SRV', { answers: HDLS_SRV(`hdls1.${S}`), additional: HDLS_ADDRESSES }],
  at(`172-0-0-2.hdls1.${S}`, 'A', 'A 5 172.0.0.2'),
  [`172-0-0-2.hdls1.${S}`, 'AAAA', NODATA],
  [
    `172-0-0-3.hdls1.${S}`,
    'SRV',
    {
      answers: [`172-0-0-3.hdls1.${S} SRV 5 0 100 80 172-0-0-3.hdls1.${S}`],
      additional: [`172-0-0-3.hdls1.${S} A 5 172.0.0.3`],
    },
  ],
  at(`5678-abcd--1.hdls1.${S}`, 'AAAA', 'AAAA 5 5678:abcd::1'),
  at(`fd00--1-0-0-7.hdls6.${S}`, 'AAAA', 'AAAA 5 fd00::1:0:0:7'),
  at(`dup-name.hdls1.${S}`, 'A', 'A 5 172.0.0.4', 'A 5 172.0.0.5'),
  [`172-0-0-4.hdls1.${S}`, 'A', NX],
  [`172-0-0-9.hdls1.${S}`, 'A', NX],
  [`x.172-0-0-2.hdls1.${S}`, 'A', NX],
  at(`hdlsprtls.${S}`, 'A', 'A 5 172.0.0.20'),
  [`hdlsprtls.${S}`, 'SRV', NODATA],
  [`_http._tcp.hdlsprtls.${S}`, 'SRV', NX],
  [`hdlsnone.${S}`, 'A', NX],
  [`hdlsnone.${S}`, 'SRV', NX],
  at(`web-0.web.${S}`, 'A', 'A 5 172.0.2.1'),
  at(`WEB-2.web.${S}`, 'A', 'A 5 172.0.2.3'),
  [`web-3.web.${S}`, 'A', NX],
  [
    `_web._tcp.web.${S}`,
    'SRV',
    {
      answers: [0, 1, 2].map((i) => `_web._tcp.web.${S} SRV 5 0 33 80 web-${i}.web.${S}`),
      additional: [0, 1, 2].map((i) => `web-${i}.web.${S} A 5 172.0.2.${i + 1}`),
    },
  ],
  at(`ep1a.svc1.${S}`, 'A', 'A 5 172.0.1.1'),
  at(`172-0-1-9.svc1.${S}`, 'A', 'A 5 172.0.1.9'),
];

const ALIASES: Line[] = [
  [
    `external.${S}`,
    'A',
    {
      answers: [`external.${S} CNAME 5 ext.interwebs.test`, 'ext.interwebs.test A 60 192.0.2.1'],
    },
  ],
  [`external.${S}`, 'AAAA', { answers: [`external.${S} CNAME 5 ext.interwebs.test`] }],
  at(`external.${S}`, 'CNAME', 'CNAME 5 ext.interwebs.test'),
  [`external.${S}`, 'SRV', NODATA],
  [`external.${S}`, 'TXT', NODATA],
  [`x.external.${S}`, 'A', NX],
  [`_http._tcp.external.${S}`, 'SRV', NX],
  [
    `external-to-service.${S}`,
    'A',
    {
      answers: [`external-to-service.${S} CNAME 5 svc1.${S}`, `svc1.${S} A 5 10.96.40.1`],
    },
  ],
  [`external-to-service.${S}`, 'AAAA', NODATA],
  [`external-to-nothing.${S}`, 'A', NODATA],
  [`external-address.${S}`, 'A', NX],
  [`external-gone.${S}`, 'A', { answers: [`external-gone.${S} CNAME 5 gone.interwebs.test`] }],
  [`external-down.${S}`, 'A', { rcode: 'SERVFAIL', isForwarded: true }],
  [`loop1.${S}`, 'A', NODATA],
];

const PODS: Line[] = [
  at(`10-240-0-1.${P}`, 'A', 'A 5 10.240.0.1'),
  at(`172-0-0-2.${P}`, 'A', 'A 5 172.0.0.2'),
  at(`1234-abcd--1.${P}`, 'AAAA', 'AAAA 5 1234:abcd::1'),
  [`10-240-0-1.${P}`, 'AAAA', NODATA],
  [`10-240-0-1.${P}`, 'TXT', NODATA],
  [`blah.${P}`, 'A', NX],
  [`10-240-0-256.${P}`, 'A', NX],
  [`x.10-240-0-1.${P}`, 'A', NX],
  ['10-240-0-1.nons.pod.cluster.local', 'A', NX],
  [P, 'A', NODATA],
  [`10-240-0-1.${P}`, 'A', { answers: own(`10-240-0-1.${P}`, 'A 5 10.240.0.1'), pods: 'verified' }],
  [`172-0-0-2.${P}`, 'A', { ...NX, pods: 'verified' }],
  [`10-240-0-2.${P}`, 'A', { ...NX, pods: 'verified' }],
  ['10-240-0-1.empty.pod.cluster.local', 'A', { ...NX, pods: 'verified' }],
  [P, 'A', { ...NODATA, pods: 'verified' }],
  [`10-240-0-1.${P}`, 'A', { ...NX, pods: 'disabled' }],
  [P, 'A', { ...NX, pods: 'disabled' }],
  ['pod.cluster.local', 'A', { ...NODATA, pods: 'disabled' }],
];

const REVERSE: Line[] = [
  at('1.40.96.10.in-addr.arpa', 'PTR', `PTR 5 svc1.${S}`),
  at('10.0.96.10.in-addr.arpa', 'PTR', 'PTR 5 kube-dns.kube-system.svc.cluster.local'),
  at('1.2.0.172.in-addr.arpa', 'PTR', `PTR 5 web-0.web.${S}`),
  at('4.0.0.172.in-addr.arpa', 'PTR', `PTR 5 dup-name.hdls1.${S}`),
  at(
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.4.3.2.1.ip6.arpa',
    'PTR',
    `PTR 5 svc6.${S}`,
  ),
  [
    '1.40.96.10.in-addr.arpa',
    'A',
    { authority: [SOA.replaceAll('cluster.local', 'in-addr.arpa')] },
  ],
  ['2.0.0.172.in-addr.arpa', 'PTR', FORWARDED],
  ['9.9.9.9.in-addr.arpa', 'PTR', FORWARDED],
  ['0.10.in-addr.arpa', 'PTR', FORWARDED],
  ['1.40.96.010.in-addr.arpa', 'PTR', FORWARDED],
];

const APEX: Line[] = [
  ['cluster.local', 'SOA', { answers: [SOA] }],
  [
    'cluster.local',
    'NS',
    {
      answers: ['cluster.local NS 5 kube-dns.kube-system.svc.cluster.local'],
      additional: ['kube-dns.kube-system.svc.cluster.local A 5 10.96.0.10'],
    },
  ],
  ...['A', 'AAAA', 'SRV', 'TXT', 'MX', 'HINFO'].map(
    (type): Line => ['cluster.local', type, NODATA],
  ),
  at('ns.dns.cluster.local', 'A', 'A 5 10.96.0.10'),
  ['ns.dns.cluster.local', 'AAAA', NODATA],
  ['dns.cluster.local', 'A', NODATA],
  ['x.dns.cluster.local', 'A', NX],
  at('dns-version.cluster.local', 'TXT', 'TXT 28800 1.1.0'),
  ['dns-version.cluster.local', 'A', NODATA],
  ['x.dns-version.cluster.local', 'TXT', NX],
  ['svc.cluster.local', 'A', NODATA],
  ['testns.svc.cluster.local', 'A', NODATA],
  ['empty.svc.cluster.local', 'SRV', NODATA],
  ['nons.svc.cluster.local', 'A', NX],
  ['blah.cluster.local', 'A', NX],
  ['a.b.nothing.cluster.local', 'TXT', NX],
];

const LIMITS: Line[] = [
  [`svc1.${S}`, 'ANY', { answers: own(`svc1.${S}`, 'HINFO 8482 RFC8482 ') }],
  ['www.example.com', 'ANY', { answers: own('www.example.com', 'HINFO 8482 RFC8482 ') }],
  ['cluster.local', 'AXFR', { rcode: 'REFUSED', transport: 'tcp' }],
  ['cluster.local', 'IXFR', { rcode: 'REFUSED' }],
  [`svc1.${S}`, 'A', { rcode: 'REFUSED', class: 'CH' }],
  ['cluster.local', 'SOA', { rcode: 'NOTIMP', flags: 0x2800 }],
  ['cluster.local', 'SOA', { rcode: 'NOTIMP', flags: 0x2000 }],
  [`svc1.${S}`, 'A', { rcode: 'SERVFAIL', isSynced: false }],
  [`nothing.${S}`, 'A', { rcode: 'SERVFAIL', isSynced: false }],
  ['1.40.96.10.in-addr.arpa', 'PTR', { rcode: 'SERVFAIL', isSynced: false }],
  [`svc1.${S}`, 'A', { answers: own(`svc1.${S}`, 'A 5 10.96.40.1'), flags: 0 }],
  [`svc1.${S}`, 'A', { answers: own(`svc1.${S}`, 'A 5 10.96.40.1'), transport: 'tcp' }],
  [`svc1.${S}`, 'A', { answers: own(`svc1.${S}`, 'A 5 10.96.40.1'), edns: 1232 }],
  [`nothing.${S}`, 'A', { ...NX, edns: 4096, transport: 'tcp' }],
];

const OUTSIDE: Line[] = [
  [
    'ext.interwebs.test',
    'A',
    { answers: ['ext.interwebs.test A 60 192.0.2.1'], isForwarded: true },
  ],
  [
    'EXT.interwebs.TEST',
    'A',
    { answers: ['EXT.interwebs.TEST A 60 192.0.2.1'], isForwarded: true },
  ],
  ['www.example.com', 'A', FORWARDED],
  ['mycluster.local', 'A', FORWARDED],
  ['local', 'A', FORWARDED],
  ['svc1.testns', 'A', FORWARDED],
  ['gone.interwebs.test', 'A', { rcode: 'NXDOMAIN', isForwarded: true }],
  ['down.interwebs.test', 'A', { rcode: 'SERVFAIL', isForwarded: true }],
];

export const TABLES: Record<string, Line[]> = {
  ...{ CLUSTER_IP, CASE, PORTS, HEADLESS, ALIASES, PODS, REVERSE, APEX, LIMITS, OUTSIDE },
};
