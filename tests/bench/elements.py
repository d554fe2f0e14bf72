# SPDX-License-Identifier: Apache-2.0
"""Peers that are GStreamer elements: what they send, their launch lines, and the two processes."""
import glob
import dataclasses
import json
import os
import random
import select
import socket
import subprocess
import time

from paths import Loopback
from peers import Failed

PATIENCE = 40  # seconds; longer than pipeline_bench's own


@dataclasses.dataclass(frozen=True)
class Media:
    """What is sent: grains of `size` bytes, `rate` a second in `caps`.

    A byte stream has no grains: `framing` is what goes before a tcpclientsink and after a
    tcpserversrc to have them again, the quickest that GStreamer has for it. The first `fill` grains
    are written whole, so that there are real pages under what is sent.
    """
    name: str
    size: int
    rate: int
    caps: str
    framing: tuple
    fill: int = 20


def picture(name):
    width, height = {'1080p': (1920, 1080), '2160p': (3840, 2160), '4320p': (7680, 4320)}[name]
    size = (width + 47) // 48 * 128 * height
    shape = f'width={width},height={height},framerate=60/1'
    return Media(name, size, 60, f'video/x-raw,format=v210,{shape}',
                 ('', f'rawvideoparse format=v210 {shape.replace(",", " ")}'))


AUDIO = Media('audio, 1 ms', 48 * 8 * 3, 1000, 'audio/x-raw,format=S24LE,rate=48000,channels=8,'
              'layout=interleaved,channel-mask=(bitmask)0', ('gdppay', 'gdpdepay'))


class Fabric:
    """`own`: the source ignores the pool that fabricsink offers."""

    receiver_first = True
    element = 'fabricsink'

    def __init__(self, provider, own=False):
        self.name = provider + (', own memory' if own else '')
        self._provider, self._own = provider, own

    def lines(self, media, live, path, _):
        place = f'{path.target} port={free_port()} provider={self._provider}'
        return (f'{source(media, live, self._own)} ! fabricsink host={place} '
                f'sync={str(live).lower()}', f'fabricsrc address={place}')


class Shm:
    """GStreamer's, with room for a few grains more than fabricsink has slots."""

    receiver_first = False  # shmsrc gives up where nobody listens yet
    element = 'shmsink'

    def __init__(self, own=False):
        self.name = 'shmsink' + (', own memory' if own else '')
        self._own = own

    def lines(self, media, live, _, folder):
        place = f'socket-path={folder}/socket-{free_port()}'
        return (f'{source(media, live, self._own)} ! shmsink {place} '
                f'shm-size={max(10 * media.size, 65536)} sync={str(live).lower()}',
                f'shmsrc {place} is-live=true ! {media.caps}')


class TcpElements:
    """GStreamer's tcpclientsink to tcpserversrc, in whole grains where the stream lets it."""

    receiver_first = True
    element = 'tcpclientsink'
    name = 'tcpclientsink'

    def lines(self, media, live, path, _):
        place = f'host={path.target} port={free_port()}'
        before, after = media.framing
        before = f' ! {before}' if before else ''
        return (f'{source(media, live)}{before} ! tcpclientsink {place} '
                f'sync={str(live).lower()}',
                f'tcpserversrc {place} blocksize={media.size} ! {after}')


def source(media, live, own=False):
    return (f'endssrc size={media.size} fill={media.fill} rate={media.rate if live else 0} '
            f'own-memory={str(own).lower()} ! {media.caps}')


def free_port():
    """Below those that the kernel gives to outgoing connections, which would take it meanwhile."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
                return port
            except OSError:
                pass


def present(peers):
    """Those whose elements this host has; says which are left out."""
    there = []
    for peer in peers:
        if isinstance(peer, Fabric) or subprocess.run(
                ['gst-inspect-1.0', '--exists', peer.element], check=False).returncode == 0:
            there.append(peer)
        else:
            print(f'{peer.name}: left out, GStreamer has no {peer.element} here')
    return there


class Process:
    """pipeline_bench in one of its roles, killed at the end of the `with`."""

    def __init__(self, build, prefix, *words):
        self._child = subprocess.Popen(
            [*prefix, f'{build}/tests/bench/pipeline_bench', *words], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def end(self):
        self._child.kill()

    def kill(self):
        self.end()
        self._child.wait()
        for left in glob.glob(f'/dev/shm/shmpipe.{self.pid:5d}.*'):  # a shmsink's
            os.unlink(left)
        self._child.stdin.close()
        self._child.stdout.close()

    def ended(self):
        return self._child.poll() is not None

    def read(self, seconds=PATIENCE):
        """The next line, within so many seconds."""
        readable, _, _ = select.select([self._child.stdout], [], [], seconds)
        line = self._child.stdout.readline() if readable else b''
        if not line:
            raise Failed('pipeline_bench ended' if readable else
                         f'pipeline_bench says nothing for {seconds} s')
        return line.decode().strip()

    def write(self, text):
        self._child.stdin.write(f'{text}\n'.encode())


class Pair:
    """A sender and a receiver of one or more streams, started in the order that the peer needs."""

    def __init__(self, build, peer, lines, path, role):
        self._build, self._peer, self._path, self._role = build, peer, path, role
        self._send = ' '.join(send for send, _ in lines)
        self._receive = ' '.join(f'{receive} ! fakesink name=sink{number or ""} sync=false'
                                 for number, (_, receive) in enumerate(lines))
        self.sender = self.receiver = None

    def start_at_once(self):
        """Both, where neither has to wait for the other; before the `with`."""
        self._start_sender()
        self.start_receiver()

    def __enter__(self):
        try:
            if self.receiver:
                self.receiver.read()  # "playing"
            elif self._peer.receiver_first:
                self.start_receiver()
                self.receiver.read()  # "playing"
                self._start_sender()
            else:
                self._start_sender()
                self.start_receiver()
                self.receiver.read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self._latest_first():
            process.end()  # both, before one complains of the other
        for process in self._latest_first():
            process.kill()

    def _latest_first(self):
        order = [self.sender, self.receiver]
        if not self._peer.receiver_first:
            order.reverse()
        return [process for process in order if process]

    def start_receiver(self):
        self.receiver = Process(self._build, self._path.at_target, *self._role, self._receive)

    def _start_sender(self):
        self.sender = Process(self._build, self._path.at_initiator, 'send', self._send)
        for place in self._send.split('socket-path=')[1:]:
            self._wait_for(place.split()[0])

    def _wait_for(self, path):
        late = time.monotonic() + PATIENCE
        while not os.path.exists(path):
            if self.sender.ended() or time.monotonic() > late:
                raise Failed(f'{self._peer.name}: nothing listens at {path}')
            time.sleep(0.0005)


def measure(build, peer, media, live, seconds, folder, path=Loopback()):
    """One stream; grains that are torn or left out fail the benchmark."""
    with Pair(build, peer, [peer.lines(media, live, path, folder)], path,
              ['receive', str(seconds)]) as pair:
        found = count([pair], 1 if live else 0.1, seconds)[0]
    if found['torn'] or found['missing']:
        raise Failed(f'{peer.name}: {found["torn"]} grains torn, {found["missing"]} missing')
    found['gigabytes-per-second'] = found['grains-per-second'] * media.size / 1e9
    found['cpu-seconds-per-gigabyte'] = {
        side: found[f'{process}-cpu'] / (found['gigabytes-per-second'] * found['window'])
        for side, process in (('client', 'sender'), ('server', 'receiver'))}
    return found


def count(pairs, settle, seconds):
    """Lets pairs under way settle, and has all of them count at the same time."""
    for pair in pairs:
        if pair.receiver.read() != 'warm':
            raise Failed('pipeline_bench does not get warm')
    time.sleep(settle)
    for pair in pairs:
        pair.receiver.write(pair.sender.pid)
    return [json.loads(pair.receiver.read(seconds + PATIENCE)) for pair in pairs]
