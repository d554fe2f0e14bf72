# SPDX-License-Identifier: Apache-2.0
"""Paths to measure: the loopback interface, or two hosts on one machine (network namespaces, root)."""
import os
import subprocess


class Loopback:
    """With another congestion control than the host's it is that of a namespace of its own (root)."""

    target = '127.0.0.1'

    def __init__(self, congestion=None):
        self.name = 'loopback'
        self._congestion, self._host = congestion, f'gf-bench-{os.getpid()}'
        self.at_target = self.at_initiator = \
            ('ip', 'netns', 'exec', self._host) if congestion else ()

    def __enter__(self):
        if self._congestion:
            try:
                self._make()
            except BaseException:
                self.__exit__()
                raise
        return self

    def _make(self):
        run('ip', 'netns', 'add', self._host)
        run('ip', '-n', self._host, 'link', 'set', 'lo', 'up')
        for addresses in '127.0.0.0/8', '127.0.0.1':
            run('ip', '-n', self._host, 'route', 'replace', 'local', addresses, 'dev', 'lo', 'table',
                'local', 'src', self.target, 'congctl', self._congestion)

    def __exit__(self, *_):
        if self._congestion:
            delete(self._host)


class Veth:
    """Two namespaces with a pair of virtual interfaces between.

    rate: bits a second in each direction, with `buffer` seconds of queue (tbf). A burst below 64 KB
    makes the kernel cut what was sent by segmentation offload, so that packets are lost one by one.
    loss: share of the packets that the target's host drops on arrival (nftables).
    congestion: TCP's congestion control, instead of the host's.
    """

    target = '10.77.0.2'

    def __init__(self, mtu, rate=None, buffer=0.02, loss=0, congestion=None):
        self.name = f'veth, MTU {mtu}'
        self._mtu, self._rate, self._buffer, self._loss = mtu, rate, buffer, loss
        self._congestion = congestion
        self._hosts = [f'gf-bench-{os.getpid()}-{side}' for side in 'it']
        self.at_initiator, self.at_target = (('ip', 'netns', 'exec', host) for host in self._hosts)

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        initiator, target = self._hosts
        for host in self._hosts:
            run('ip', 'netns', 'add', host)
            run('ip', '-n', host, 'link', 'set', 'lo', 'up')
        run('ip', '-n', initiator, 'link', 'add', 'veth', 'type', 'veth', 'peer', 'name', 'veth',
            'netns', target)
        for number, host in enumerate(self._hosts, 1):
            run('ip', '-n', host, 'address', 'add', f'10.77.0.{number}/24', 'dev', 'veth')
            run('ip', '-n', host, 'link', 'set', 'veth', 'mtu', str(self._mtu), 'up')
            if self._congestion:
                run('ip', '-n', host, 'route', 'replace', '10.77.0.0/24', 'dev', 'veth', 'src',
                    f'10.77.0.{number}', 'congctl', self._congestion)
            if self._rate:
                run('tc', '-n', host, 'qdisc', 'add', 'dev', 'veth', 'root', 'tbf', 'rate',
                    str(self._rate), 'burst', '16kb', 'latency', f'{self._buffer * 1e3}ms')
        if self._loss:
            rules = ('table ip bench {\nchain input {\ntype filter hook prerouting priority raw\n'
                     f'numgen random mod 10000 < {round(self._loss * 10000)} drop\n}}\n}}\n')
            run(*self.at_target, 'nft', rules)

    def __exit__(self, *_):
        for host in self._hosts:
            delete(host)


def path_of(name, options):
    """`name`: loopback, or the MTU of a veth pair."""
    if name == 'loopback':
        return Loopback(options.congestion)
    return Veth(int(name), congestion=options.congestion)


def run(*command):
    subprocess.run(command, check=True)


def delete(host):
    subprocess.run(['ip', 'netns', 'delete', host], check=False, stderr=subprocess.DEVNULL)
