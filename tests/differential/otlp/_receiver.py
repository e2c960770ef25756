"""An OTLP receiver over HTTP with protobuf, without a library: what a case needs of the messages, and no more."""
import gzip, struct, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def fields(data):
    """(number, wire type, value) of a message"""
    i = 0

    def varint():
        nonlocal i
        n = shift = 0
        while True:
            b = data[i]
            i += 1
            n |= (b & 127) << shift
            shift += 7
            if b < 128:
                return n

    while i < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            value = varint()
        elif wire == 1:
            value, i = data[i:i + 8], i + 8
        elif wire == 5:
            value, i = data[i:i + 4], i + 4
        else:
            n = varint()
            value, i = data[i:i + n], i + n
        yield key >> 3, wire, value


class Message:
    def __init__(self, data):
        self.all = list(fields(data))

    def many(self, n):
        return [v for k, _, v in self.all if k == n]

    def one(self, n, default=None):
        return (self.many(n) or [default])[-1]

    def text(self, n):
        return self.one(n, b"").decode("utf-8", "replace")

    def subs(self, n):
        return [Message(v) for v in self.many(n)]

    def fixed(self, n):
        v = self.one(n)
        return struct.unpack("<Q", v)[0] if v is not None else 0

    def doubles(self, n):
        out = []
        for k, wire, v in self.all:
            if k == n:
                out += [x[0] for x in struct.iter_unpack("<d", v)]
        return out


def signed(n):
    return n - (1 << 64) if n >> 63 else n


def plain(m):
    for n, wire, v in m.all:
        if n == 1:
            return v.decode("utf-8", "replace")
        if n == 2:
            return bool(v)
        if n == 3:
            return signed(v)
        if n == 4:
            return struct.unpack("<d", v)[0]
        if n == 5:
            return [plain(x) for x in Message(v).subs(1)]
        if n == 6:
            return attrs(Message(v), 1)
        if n == 7:
            return v.hex()
    return None


def attrs(m, n):
    return {p.text(1): plain(Message(p.one(2, b""))) for p in m.subs(n)}


def scoped(data):
    """(resource, schema, scope, its items) of an export request of any signal"""
    for r in Message(data).subs(1):
        resource = attrs(Message(r.one(1, b"")), 1)
        for s in r.subs(2):
            scope = Message(s.one(1, b""))
            yield dict(resource=resource, resource_schema=r.text(3), scope=scope.text(1), scope_version=bool(scope.text(2)), schema=s.text(3)), s.subs(2)


KINDS = {1: "internal", 2: "server", 3: "client"}


def spans(data):
    for about, items in scoped(data):
        for s in items:
            status = Message(s.one(15, b""))
            yield dict(
                trace=s.one(1).hex(), id=s.one(2).hex(), state=s.text(3), parent=s.one(4, b"").hex(), name=s.text(5),
                kind=KINDS.get(s.one(6), s.one(6)), start=s.fixed(7), end=s.fixed(8), attributes=attrs(s, 9),
                events=[dict(name=e.text(2), attributes=attrs(e, 3)) for e in s.subs(11)], links=len(s.many(13)),
                status=status.one(3, 0), description=status.text(2), **about)


def metrics(data):
    for about, items in scoped(data):
        for m in items:
            for n, kind in ((5, "gauge"), (7, "sum"), (9, "histogram")):
                for d in m.subs(n):
                    for p in d.subs(1):
                        row = dict(name=m.text(1), description=m.text(2), unit=m.text(3), kind=kind, temporality=d.one(2), **about)
                        if kind == "histogram":
                            counts = p.many(6)
                            row.update(attributes=attrs(p, 9), count=p.fixed(4), bounds=p.doubles(7), buckets=sum(len(c) for c in counts) // 8, sum=p.doubles(5), min=bool(p.many(11)), max=bool(p.many(12)))
                        else:
                            row.update(attributes=attrs(p, 7), monotonic=bool(d.one(3, 0)), integer=bool(p.many(6)),
                                       value=(signed(p.fixed(6)) if p.many(6) else (p.doubles(4) or [0])[0]))
                        yield row


def logs(data):
    for about, items in scoped(data):
        for r in items:
            yield dict(severity=r.one(2), severity_text=r.text(3), body=plain(Message(r.one(5, b""))), attributes=attrs(r, 6),
                       trace=r.one(9, b"").hex(), span=r.one(10, b"").hex(), flags=int.from_bytes(r.one(8, b""), "little"), timed=bool(r.fixed(1)), observed=bool(r.fixed(11)),
                       event=r.text(12), **about)


READERS = dict(traces=spans, metrics=metrics, logs=logs)


class Receiver:
    def __init__(self, port):
        self.got = dict(traces=[], metrics=[], logs=[])
        self.seen, self.lock, self.fail = [], threading.Lock(), 0
        outer = self

        class H(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                data = self.body()
                signal = self.path.rsplit("/", 1)[-1]
                with outer.lock:
                    outer.seen.append(dict(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}))
                    failing = outer.fail
                    outer.fail = max(0, failing - 1)
                    if not failing and signal in READERS:
                        if self.headers.get("content-encoding") == "gzip":
                            data = gzip.decompress(data)
                        outer.got[signal] += list(READERS[signal](data))
                self.send_response(503 if failing else 200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def body(self):
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                data = b""
                while n := int(self.rfile.readline().split(b";")[0], 16):
                    data += self.rfile.read(n)
                    self.rfile.readline()
                self.rfile.readline()
                return data

        class Server(ThreadingHTTPServer):
            allow_reuse_address, daemon_threads = True, True

        self.server = Server(("127.0.0.1", port), H)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
