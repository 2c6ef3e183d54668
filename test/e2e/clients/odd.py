# odd.py ADDR PORT KIND COUNT [SPORT SEQ]: sends packets of a KIND that no honest host sends, with scapy.
import random
import sys

from scapy.all import ICMP, IP, TCP, UDP, Raw, conf, fragment, send

conf.verb = 0
address, port, kind, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
rest = sys.argv[5:]
random.seed(1)


def base(**more):
    return IP(dst=address, **more)


def sport():
    return random.randrange(1024, 60000)


def make():
    if kind == "syn-fin":
        return [base() / TCP(sport=sport(), dport=port, flags="SF")]
    if kind == "no-flags":
        return [base() / TCP(sport=sport(), dport=port, flags=0)]
    if kind == "long-offset":
        return [base() / TCP(sport=sport(), dport=port, flags="S", dataofs=15)]
    if kind == "short-offset":
        return [base() / TCP(sport=sport(), dport=port, flags="S", dataofs=2)]
    if kind == "udp-length":
        return [base() / UDP(sport=sport(), dport=port, len=4) / Raw(b"x" * 8)]
    if kind == "tiny-fragment":
        return [base(flags="MF", id=random.randrange(65536), proto=6) / Raw(b"\x10\x00" + port.to_bytes(2, "big") + b"\0" * 4)]
    if kind == "later-fragment":
        return [base(frag=100, id=random.randrange(65536), proto=17) / Raw(b"y" * 64)]
    if kind == "overlapping":
        whole = base(id=random.randrange(65536)) / UDP(sport=sport(), dport=port) / Raw(b"echo " + b"z" * 1400)
        parts = fragment(whole, fragsize=512)
        return [parts[0], parts[1], parts[1], parts[0], parts[2]]
    if kind == "spoofed":
        return [base(src=rest[0]) / UDP(sport=sport(), dport=port) / Raw(b"hostname")]
    if kind == "wrong-sum":
        return [base() / TCP(sport=sport(), dport=port, flags="S", chksum=0x1234)]
    if kind == "options":
        return [base(options=[b"\x07\x07\x04\0\0\0\0\0"]) / TCP(sport=sport(), dport=port, flags="S")]
    if kind == "icmp-garbage":
        return [base() / ICMP(type=3, code=random.randrange(16)) / Raw(random.randbytes(random.randrange(0, 60)))]
    if kind == "echo-reply":
        return [base() / ICMP(type=0, id=random.randrange(65536)) / Raw(b"q")]
    if kind == "rst":
        return [base() / TCP(sport=int(rest[0]), dport=port, flags="R", seq=(int(rest[1]) + random.randrange(10**8, 10**9)) % 2**32)]
    if kind == "noise":
        proto = random.choice([0, 1, 2, 4, 6, 17, 41, 47, 50, 89, 132, 255])
        size = random.randrange(0, 1400)
        return [base(proto=proto, tos=random.randrange(256), flags=random.choice([0, "MF", "DF"]), frag=random.choice([0, 0, 0, 5, 8000])) / Raw(random.randbytes(size))]
    raise SystemExit(f"no packets are called {kind}")


packets = [packet for _ in range(count) for packet in make()]
send(packets)
print(len(packets))
