"""Receivers of lines: StatsD and Datadog by UDP, InfluxDB 2 by HTTP."""
import socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Lines:
    """What came to a UDP port, or a socket of this machine, line by line."""

    def __init__(self, port=None, path=None, stream=False):
        self.got, self.lock = [], threading.Lock()
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        self.socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET, kind)
        self.socket.bind(path or ("127.0.0.1", port))
        if stream:
            self.socket.listen()
        threading.Thread(target=self.accept if stream else self.datagrams, daemon=True).start()

    def take(self, data):
        with self.lock:
            self.got += data.decode("utf-8", "replace").split("\n")[:-1]

    def datagrams(self):
        while True:
            self.take(self.socket.recv(65536))

    def accept(self):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self.stream, args=(peer,), daemon=True).start()

    def stream(self, peer):
        for line in peer.makefile("rb"):
            self.take(line)


class Points:
    """What was written to a server of InfluxDB 2."""

    def __init__(self, port):
        self.got, self.requests, self.lock = [], [], threading.Lock()
        outer = self

        class H(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                url = urlsplit(self.path)
                with outer.lock:
                    outer.requests.append(dict(path=url.path, query=parse_qsl(url.query), authorization=self.headers.get("authorization")))
                    outer.got += body.splitlines()
                self.send_response(204)
                self.end_headers()

        class Server(ThreadingHTTPServer):
            allow_reuse_address, daemon_threads = True, True

        self.server = Server(("127.0.0.1", port), H)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
