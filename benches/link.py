"""Two network namespaces and a link between them that delays every packet, made of two TUN devices and this process.

Delay and loss of kernels (netem) are not everywhere; a TUN device is. Needs root.
"""

import ctypes
import fcntl
import heapq
import os
import select
import struct
import subprocess
import time
from multiprocessing import Process, Value

CLIENT, SERVER = "equinix-wif-client", "equinix-wif-server"
CLIENT_ADDRESS, SERVER_ADDRESS = "10.87.41.1", "10.87.41.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True)


def tun(name, namespace, address, peer):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    ip("link", "set", name, "netns", namespace)
    ip("-n", namespace, "addr", "add", f"{address}/32", "peer", f"{peer}/32", "dev", name)
    ip("-n", namespace, "link", "set", name, "up")
    return device


class Link:
    """While entered, the namespaces are there, with this many seconds between them each way."""

    def __init__(self, one_way):
        self.one_way = one_way
        self.connections = Value(ctypes.c_long, 0)

    def __enter__(self):
        for namespace in (CLIENT, SERVER):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
        self.devices = (tun("eqwif0", CLIENT, CLIENT_ADDRESS, SERVER_ADDRESS), tun("eqwif1", SERVER, SERVER_ADDRESS, CLIENT_ADDRESS))
        self.process = Process(target=self._carry, daemon=True)
        self.process.start()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()
        for device in self.devices:
            os.close(device)
        for namespace in (CLIENT, SERVER):
            ip("netns", "del", namespace)

    def _carry(self):
        client, server = self.devices
        waiting, number = [], 0
        while True:
            timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
            readable, _, _ = select.select(self.devices, [], [], timeout)
            now = time.monotonic()
            for device in readable:
                while True:
                    try:
                        packet = os.read(device, 65536)
                    except BlockingIOError:
                        break
                    number += 1
                    heapq.heappush(waiting, (now + self.one_way, number, server if device == client else client, packet))
                    self.connections.value += opens_connection(packet)
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, device, packet = heapq.heappop(waiting)
                os.write(device, packet)


def opens_connection(packet):
    """Whether this is TCP over IPv4 with SYN and without ACK."""
    header = (packet[0] & 15) * 4
    return packet[0] >> 4 == 4 and packet[9] == 6 and packet[header + 13] & 0x12 == 0x02


def enter(descriptor):
    """Moves this process into the network namespace of this descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
