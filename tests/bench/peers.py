# SPDX-License-Identifier: Apache-2.0
"""What is measured on a path: each peer runs its two programs and says what they found."""
import json
import os
import select
import subprocess

GRAIN = 5_529_600  # 1920 x 1080, v210


class Failed(Exception):
    pass


class TcpStream:
    """A plain TCP stream of grains, `call` bytes to a system call (a whole grain)."""

    def __init__(self, build, call=None, grain=GRAIN):
        self.name, self.setting = 'tcp stream', call or grain
        self._program, self._grain = f'{build}/tests/bench/tcp_stream', str(grain)

    def server(self):
        return [self._program, 'server', '{address}', self._grain, str(self.setting)]

    def client(self, port, seconds):
        return [self._program, 'client', '{address}', port, self._grain, str(self.setting),
                str(seconds)]

    @staticmethod
    def result(text):
        return json.loads(text)


class Datagrams:
    """Plain UDP datagrams of the udp transport's form, without any protocol."""

    def __init__(self, build, grain=GRAIN):
        self.name, self.setting = 'raw datagrams', '-'
        self._program, self._grain = f'{build}/tests/bench/datagrams', str(grain)

    def server(self):
        return [self._program, 'server', '{address}', self._grain]

    def client(self, port, seconds):
        return [self._program, 'client', '{address}', port, self._grain, str(seconds)]

    @staticmethod
    def result(text):
        return json.loads(text)


class LibfabricLoop:
    """Raw libfabric (tcp) that writes whole grains; `rate` a second, 0: as fast as it goes."""

    def __init__(self, build, grain=GRAIN, depth=8, rate=0):
        self.name = 'libfabric loop'
        self._program = f'{build}/tests/bench/libfabric_loop'
        self._load, self._rate = [str(grain), str(depth)], str(rate)

    def is_there(self):
        if os.path.exists(self._program):
            return True
        print('libfabric loop: not built, the build directory is without libfabric (-Dofi)')
        return False

    def server(self):
        return [self._program, 'server', '{address}', *self._load]

    def client(self, port, seconds):
        return [self._program, 'client', '{address}', port, *self._load, str(seconds), self._rate]

    @staticmethod
    def result(text):
        return json.loads(text)


class Engine:
    """The engine over one of its transports, in pieces of `piece` bytes (its default)."""

    def __init__(self, build, provider, piece=None, grain=GRAIN, depth=8):
        self.name, self.setting = provider, piece
        self._program = f'{build}/src/tool/grainfabric'
        self._load = ['--sizes', str(grain), '--depth', str(depth)]
        if piece:
            self._load += ['--piece-size', str(piece)]

    def server(self):
        return [self._program, 'bench', 'server', '--port', '0', '--address', '{address}',
                '--provider', self.name, '--quiet']

    def client(self, port, seconds):
        return [self._program, 'bench', 'client', '{address}', '--port', port, '--provider',
                self.name, *self._load, '--seconds', str(seconds), '--json', '--quiet']

    @staticmethod
    def result(text):
        return json.loads(text)['results'][0]


class Flow:
    """One peer under way on a path."""

    def __init__(self, peer, path, seconds):
        self._peer = peer
        self._server = start(path.at_target, peer.server(), path.target)
        port = self._port()
        self._client = start(path.at_initiator, peer.client(port, seconds), path.target)
        self._limit = seconds + 30

    def _port(self):
        """The port, which is the last word that the server says first."""
        readable, _, _ = select.select([self._server.stdout], [], [], 15)
        words = self._server.stdout.readline().split() if readable else []
        if not words:
            self._server.kill()
            raise Failed(f'{self._peer.name}: the server does not listen')
        return words[-1]

    def wait(self):
        try:
            text, _ = self._client.communicate(timeout=self._limit)
            if self._client.returncode != 0:
                raise Failed(f'{self._peer.name}: exit code {self._client.returncode}')
            return self._peer.result(text)
        except subprocess.TimeoutExpired as late:
            raise Failed(f'{self._peer.name}: no end within {self._limit} s') from late
        finally:
            for process in (self._client, self._server):
                process.terminate()
                process.wait()


def start(prefix, command, address):
    words = [*prefix, *(word.format(address=address) for word in command)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def use_modules_of(build):
    """The transports are those of the build directory."""
    os.environ['GRAINFABRIC_MODULE_PATH'] = ':'.join(
        f'{build}/src/transport/{module}' for module in ('ofi', 'verbs'))
