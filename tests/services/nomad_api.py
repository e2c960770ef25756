"""What Torana reads of Nomad's HTTP API, kept in memory, after Nomad's public API reference.

    GET /v1/services, /v1/service/NAME, /v1/jobs, /v1/job/ID, /v1/event/stream?topic=Service:*

with ?namespace= and the token of X-Nomad-Token. For tests:

    PUT    /test/service          {"ServiceName", "Address", "Port", "Tags", "ID"?, "Namespace"?}
    DELETE /test/service/ID
    PUT    /test/job              a job as JSON, with "ID"
    PUT    /test/fail/CODE/PATH   from now on reads below PATH are answered with CODE; CODE 200 ends that
    PUT    /test/cut              ends all streams of events
    GET    /test/requests         paths and queries of all reads so far
"""

import json
import os
import ssl
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

change = threading.Condition()
services, jobs, fails, requests = {}, {}, {}, []
state = {"index": 1, "cut": 0}
token = os.environ.get("TOKEN")


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, data, code=200):
        body = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Nomad-Index", str(state["index"]))
        self.end_headers()
        self.wfile.write(body)

    def begin(self):
        parts = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.space = query.get("namespace", "default")
        return [urllib.parse.unquote(p) for p in parts.path.strip("/").split("/")]

    def do_GET(self):
        path = self.begin()
        if path == ["test", "requests"]:
            return self.answer(requests)
        requests.append(self.path)
        if token and self.headers.get("X-Nomad-Token") != token:
            return self.answer("Permission denied", 403)
        for prefix, code in list(fails.items()):
            if "/".join(path).startswith(prefix):
                return self.answer("told to fail", code)
        mine = [s for s in list(services.values()) if s["Namespace"] == self.space]
        if path == ["v1", "event", "stream"]:
            return self.stream()
        if path == ["v1", "services"]:
            stubs = {}
            for s in mine:
                stubs.setdefault(s["ServiceName"], []).extend(s["Tags"])
            stubs = [{"ServiceName": n, "Tags": sorted(set(t))} for n, t in sorted(stubs.items())]
            return self.answer([{"Namespace": self.space, "Services": stubs}] if stubs else [])
        if path[:2] == ["v1", "service"]:
            return self.answer([s for s in mine if s["ServiceName"] == path[2]])
        if path == ["v1", "jobs"]:
            return self.answer([{"ID": i} for i in jobs])
        if path[:2] == ["v1", "job"] and path[2] in jobs:
            return self.answer(jobs[path[2]])
        self.answer("not found", 404)

    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        index, cut = state["index"], state["cut"]
        try:
            while state["cut"] == cut:
                line = b"{}\n"
                with change:
                    if change.wait_for(lambda: state["index"] != index or state["cut"] != cut, 5):
                        index = state["index"]
                        line = b'{"Index":%d,"Events":[{"Topic":"Service"}]}\n' % index
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
        except OSError:
            pass
        self.close_connection = True

    def do_PUT(self):
        path = self.begin()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"
        with change:
            if path == ["test", "service"]:
                new = {"Namespace": "default", "NodeID": "5f1f8a3c-1", "Tags": [], **json.loads(body)}
                new.setdefault("ID", f"_nomad-task-{new['ServiceName']}-{new['Port']}")
                services[new["ID"]] = new
                state["index"] += 1
            elif path == ["test", "job"]:
                new = json.loads(body)
                jobs[new["ID"]] = new
                state["index"] += 1
            elif path[:2] == ["test", "fail"]:
                where, code = "/".join(path[3:]), int(path[2])
                fails.pop(where, None)
                if code != 200:
                    fails[where] = code
            elif path == ["test", "cut"]:
                state["cut"] += 1
            change.notify_all()
        self.answer({})

    def do_DELETE(self):
        path = self.begin()
        with change:
            services.pop(path[-1], None)
            state["index"] += 1
            change.notify_all()
        self.answer({})


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Api)
    server.daemon_threads = True
    if os.environ.get("CERT"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
