"""A loopback proxy that spoils chosen answers of the server behind it."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class FaultyProxy:
    """Forwards to ``target``; each request first takes one fault from ``faults``, if any is left.

    A fault is a pair (status, code) answered as an S3 error, "short" (the body is cut in half) or "lost"
    (the server did what was asked, but the answer is an error).
    """

    def __init__(self, target):
        self.faults, self.requests = [], 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, urlsplit(target)))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _handler(proxy, target):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            proxy.requests += 1
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.faults.pop(0) if proxy.faults else None
            if isinstance(fault, tuple):
                status, code = fault
                body = f"<Error><Code>{code}</Code><RequestId>r-17</RequestId></Error>".encode()
                headers = {"Content-Type": "application/xml", "Content-Length": str(len(body))}
            else:
                connection = http.client.HTTPConnection(target.hostname, target.port, timeout=20)
                connection.request(self.command, self.path, body=sent, headers=dict(self.headers))
                answer = connection.getresponse()
                status, body, headers = answer.status, answer.read(), dict(answer.getheaders())
                connection.close()
                headers.pop("Transfer-Encoding", None)
                headers.setdefault("Content-Length", str(len(body)))
            if fault == "lost":
                status, body, headers = 500, b"", {"Content-Length": "0"}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if fault == "short" else body)
            if fault == "short":
                self.close_connection = True

        def log_message(self, *arguments):
            pass

    for method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.forward)
    return Handler
