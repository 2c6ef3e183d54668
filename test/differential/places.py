# places.py: sends and captures whole IPv4 packets in many network namespaces, driven by lines of
# JSON on stdin.
#   {"open": {NAME: {path, link, mac}}}   a host: frames of this link, below its kernel; mac is empty
#        for a link without addresses
#   {"open": {NAME: {path, own}}}         a node: what its kernel sends and delivers locally; own is
#        [ADDRESS, LINK]: packets to this address leave by this link, past the routing rules
#   {"open": {NAME: {path, table: true}}} a connection table alone
#   {"send": [[NAME, HEX], ...], "markers": [[NAME, HEX], ...], "wait": SECONDS}
#        sends the packets, then a marker for each route. A marker is sent back by the place where
#        it arrives. When every marker is back, each packet of the step has arrived before it.
#        Prints `NAME HEX` for each arrival, then `done LOST`, the number of markers not back.
#   {"timeouts": [SECONDS, [NAME, ...]]}  sets every timeout of the connection tables, then `done 0`
#   {"dump": [NAME, ...]}   prints `NAME HEX` with the replies of ctnetlink, then `done 0`
#   {"flush": [NAME, ...]}  empties the connection tables of nodes, then `done 0`
import ctypes
import glob
import json
import os
import selectors
import socket
import struct
import sys
import time

MARK = b"ktmark"
TIMEOUTS = "/proc/sys/net/netfilter/nf_conntrack_[itu][cd][mp]*_timeout*"
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
IP_PROTOCOL = 52
NETLINK_NETFILTER = 12
ETH_P_IP = 0x0800
ICMP, TCP, UDP = 1, 6, 17
# Ports that the node's own processes use: the API server, health checks.
OWN_PORTS = {6443, 10256, 32000}
# Linux SO_MARK: the rules that silence a node's kernel let these packets pass.
OWN_MARK = 0x100
BUFFER_BYTES = 32 << 20
# A marker that is not back is sent again.
AGAIN_S = 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
CT_GET, CT_DELETE = 0x101, 0x102

libc = ctypes.CDLL(None, use_errno=True)
selector = selectors.DefaultSelector()
senders = {}
tables = {}
# Open files of timeouts, by network namespace: opening a file selects the namespace.
timeouts = {}
waiting = set()
arrivals = []


def enter(path):
    with open(path) as f:
        if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns to {path}")


def receive(s, name):
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    s.setblocking(False)
    selector.register(s, selectors.EVENT_READ, name)


def open_table(name):
    timeouts[name] = [open(path, "w") for path in glob.glob(TIMEOUTS)]
    table = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    table.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    table.settimeout(5)
    table.bind((0, 0))
    tables[name] = table


def open_raw():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, OWN_MARK)
    return raw


def open_place(name, path, link=None, mac=None, table=False, own=None):
    enter(path)
    if table:
        open_table(name)
        return
    if link:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        s.bind((link, ETH_P_IP))
        receive(s, name)
        to = (link, ETH_P_IP, 0, 0, bytes.fromhex(mac.replace(":", "")))[: 5 if mac else 2]
        senders[name] = lambda packet: s.sendto(packet, to)
        return
    raw = open_raw()
    to_own, by_link = None, None
    if own:
        # Rules by port do not see the ports of a raw packet.
        to_own, by_link = socket.inet_aton(own[0]), open_raw()
        by_link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, own[1].encode())

    def send(packet):
        # Routing rules by protocol see the protocol of this message, not that of the header.
        proto = (socket.IPPROTO_IP, IP_PROTOCOL, struct.pack("i", packet[9]))
        sender = by_link if packet[16:20] == to_own else raw
        sender.sendmsg([packet], [proto], 0, (socket.inet_ntoa(packet[16:20]), 0))

    senders[name] = send
    for proto in (ICMP, TCP, UDP):
        receive(socket.socket(socket.AF_INET, socket.SOCK_RAW, proto), name)
    open_table(name)


def sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def answer_marker(name, packet):
    """Returns a marker to its sender, its payload with the other direction. UDP has no checksum."""
    head = bytearray(packet[:20])
    head[8] = 64
    head[10:12] = b"\0\0"
    head[12:20] = packet[16:20] + packet[12:16]
    head[10:12] = struct.pack("!H", sum16(bytes(head)))
    ports = packet[22:24] + packet[20:22]
    payload = packet[28:34] + b"\1" + packet[35:]
    transmit(name, bytes(head) + ports + packet[24:26] + b"\0\0" + payload)


def take_marker(name, packet):
    if packet[34] == 1:
        waiting.discard(packet[35:])
    else:
        answer_marker(name, packet)


def is_own(packet):
    """Traffic of the node's processes."""
    at = (packet[0] & 15) * 4
    if packet[9] not in (TCP, UDP) or len(packet) < at + 4:
        return False
    ports = struct.unpack_from("!HH", packet, at)
    return ports[0] in OWN_PORTS or ports[1] in OWN_PORTS


def drain(seconds):
    """Reads arrivals; returns True if there were any."""
    some = False
    for key, _ in selector.select(seconds):
        if key.data is None:
            continue
        while True:
            try:
                packet = key.fileobj.recv(65535)
            except (BlockingIOError, OSError):
                break
            some = True
            if packet[28:34] == MARK and packet[9] == UDP:
                take_marker(key.data, packet)
            elif not is_own(packet):
                arrivals.append(f"{key.data} {packet.hex()}")
    return some


def transmit(name, packet):
    try:
        senders[name](packet)
    except OSError as error:
        # The sender's own kernel may refuse a packet.
        if os.environ.get("PLACES_DEBUG"):
            print(f"{name}: {error}: {packet.hex()}", file=sys.stderr, flush=True)


def step(send, markers, wait):
    for i, (name, text) in enumerate(send):
        transmit(name, bytes.fromhex(text))
        if i % 64 == 63:
            drain(0)
    sent = [(name, bytes.fromhex(text)) for name, text in markers]
    waiting.update(packet[35:] for _, packet in sent)
    end = time.monotonic() + wait
    while waiting and time.monotonic() < end:
        # A busy machine may lose a marker.
        for name, packet in sent:
            if packet[35:] in waiting:
                transmit(name, packet)
        again = time.monotonic() + AGAIN_S
        while waiting and time.monotonic() < again:
            drain(0.01)
    while drain(0):
        pass
    lost = len(waiting)
    waiting.clear()
    return lost


def ask(name, kind, flags, until):
    """One request to ctnetlink; all bytes of its replies."""
    message = struct.pack("=IHHIIBBH", 20, kind, NLM_F_REQUEST | flags, 1, 0, socket.AF_INET, 0, 0)
    tables[name].send(message)
    replies = b""
    while True:
        data = tables[name].recv(1 << 20)
        replies += data
        at = 0
        while at + 16 <= len(data):
            length, found = struct.unpack_from("=IH", data, at)
            if found in until:
                return replies
            at += (length + 3) & ~3


def obey(command):
    lost = 0
    for name, place in command.get("open", {}).items():
        open_place(name, **place)
    if "send" in command:
        lost = step(command["send"], command["markers"], command["wait"])
    if "timeouts" in command:
        seconds, names = command["timeouts"]
        for file in (file for name in names for file in timeouts[name]):
            file.seek(0)
            file.write(str(seconds))
            file.flush()
    for name in command.get("flush", []):
        ask(name, CT_DELETE, NLM_F_ACK, (NLMSG_ERROR,))
    lines = arrivals[:]
    arrivals.clear()
    for name in command.get("dump", []):
        lines.append(f"{name} {ask(name, CT_GET, NLM_F_DUMP, (NLMSG_DONE, NLMSG_ERROR)).hex()}")
    lines.append(f"done {lost}\n")
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()


for line in sys.stdin:
    obey(json.loads(line))
