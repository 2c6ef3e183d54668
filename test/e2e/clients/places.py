# places.py: raw sockets in many network namespaces at once, driven by lines of JSON on stdin.
#   {"open": {NAME: PATH}}             from now on prints probe packets delivered there as `NAME HEX`
#   {"send": [[NAME, OWN, HEX], ...]}  sends whole IPv4 packets from there, and prints `sent`; with OWN, TCP and UDP
#                                      go through ordinary sockets of the namespace, bound to the packet's source
# Probes carry MARK in their payload. SCTP has none: all SCTP packets, RSTs and ICMP errors are printed.
import ctypes
import errno
import json
import os
import selectors
import socket
import sys

MARK = b"ktun"
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
TCP_FASTOPEN_NO_COOKIE = 34
ICMP, TCP, UDP, SCTP = 1, 6, 17, 132
RST = 4
UNREACHABLE = 3
BUFFER_BYTES = 8 << 20
# Packets sent before received ones are read. The queues on the way hold many more.
BURST = 40

libc = ctypes.CDLL(None, use_errno=True)
selector = selectors.DefaultSelector()
senders = {}
paths = {}


def enter(path):
    with open(path) as f:
        if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {path}")


def open_place(name, path):
    enter(path)
    paths[name] = path
    senders[name] = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for proto in (ICMP, TCP, UDP, SCTP):
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, proto)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, name)


def concerns(packet):
    l4 = (packet[0] & 15) * 4
    if packet[9] == ICMP and packet[l4] == UNREACHABLE:
        return True
    return packet[9] == SCTP or MARK in packet or (packet[9] == TCP and packet[l4 + 13] & RST)


def drain(seconds):
    """Prints received packets; returns True if stdin is readable."""
    told = False
    for key, _ in selector.select(seconds):
        if key.data is None:
            told = True
            continue
        while True:
            try:
                packet = key.fileobj.recv(65535)
            except BlockingIOError:
                break
            if concerns(packet):
                print(key.data, packet.hex())
    sys.stdout.flush()
    return told


def send_own(name, packet):
    """A SYN with data needs Fast Open. Closes the socket at once to prevent retransmission."""
    enter(paths[name])
    source, to = (socket.inet_ntoa(packet[i : i + 4]) for i in (12, 16))
    sport, dport = (int.from_bytes(packet[i : i + 2], "big") for i in (20, 22))
    tcp = packet[9] == TCP
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((source, sport))
        if not tcp:
            s.sendto(packet[28:], (to, dport))
            return
        s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, 1)
        try:
            s.sendto(packet[40:], socket.MSG_FASTOPEN, (to, dport))
        except BlockingIOError:
            pass


def send(probes):
    for i, (name, own, text) in enumerate(probes):
        packet = bytes.fromhex(text)
        try:
            if own and packet[9] in (TCP, UDP):
                send_own(name, packet)
            else:
                senders[name].sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        except OSError as error:
            # The sender's own rules may drop a packet.
            if error.errno not in (errno.EPERM, errno.ECONNREFUSED, errno.EHOSTUNREACH):
                print(f"{name}: {error}: {text}", file=sys.stderr, flush=True)
        if i % BURST == BURST - 1:
            drain(0)
    print("sent", flush=True)


os.set_blocking(0, False)
selector.register(0, selectors.EVENT_READ, None)
rest = b""
while True:
    if not drain(None):
        continue
    chunk = os.read(0, 1 << 20)
    if not chunk:
        break
    *lines, rest = (rest + chunk).split(b"\n")
    for line in lines:
        command = json.loads(line)
        for name, path in command.get("open", {}).items():
            open_place(name, path)
        if "send" in command:
            send(command["send"])
