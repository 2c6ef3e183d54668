# tagged.py SOURCE DESTINATION: UDP from SOURCE in a plain frame, and in frames with VLAN id 0, of both kinds of tag.
import sys

from scapy.all import IP, UDP, Dot1Q, Ether, Raw, conf, get_if_hwaddr, getmacbyip, sendp

conf.verb = 0
source, destination = sys.argv[1:3]
gateway = getmacbyip("169.254.1.1")
own = get_if_hwaddr("eth0")
inner = IP(src=source, dst=destination) / UDP(sport=4321, dport=8081) / Raw(b"spoofed")
sendp(Ether(src=own, dst=gateway) / inner, iface="eth0")
for kind in (0x8100, 0x88A8):
    for tags in (Dot1Q(vlan=0), Dot1Q(vlan=0) / Dot1Q(vlan=0)):
        frame = Ether(src=own, dst=gateway, type=kind) / tags / inner
        sendp(frame, iface="eth0")
