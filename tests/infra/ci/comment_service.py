"""A local server that keeps comments as GitHub and GitLab do: pages, tokens, authors, bad days."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN, READER = "s3cret-CANARY", "reads-only"
_GITHUB = re.compile(r"/repos/house/model/issues/(?:(?P<number>\d+)/comments|comments/(?P<id>\d+))")
_GITLAB = re.compile(r"/projects/7/merge_requests/(?P<number>\d+)/notes(?:/(?P<id>\d+))?")


class CommentService(ThreadingHTTPServer):
    """Comments of request 12, for whoever has the token."""

    daemon_threads = True

    def __init__(self, kind):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kind = kind
        self.comments = {}
        self.requests = []
        self.bad_days = []
        """Status, headers, and whether it was done all the same: of the next requests that write."""
        self.moved = False
        self.next_id = 100

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, body, author=None):
        self.next_id += 1
        self.comments[self.next_id] = {"body": body, "author": author or self.bot}
        return self.next_id

    @property
    def bot(self):
        return "github-actions[bot]" if self.kind == "github" else "project_7_bot"

    def environment(self, token=TOKEN):
        common = {"COMMENT_TOKEN": token, "COMMENT_NUMBER": "12", "COMMENT_PAUSE": "0"}
        if self.kind == "github":
            where = {
                "GITHUB_ACTIONS": "true",
                "GITHUB_REPOSITORY": "house/model",
                "GITHUB_API_URL": self.address,
            }
        else:
            where = {"GITLAB_CI": "true", "CI_PROJECT_ID": "7", "CI_API_V4_URL": self.address}
        return common | where

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_request()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def handle_request(self):  # noqa: PLR0911
        server, parts = self.server, urlsplit(self.path)
        length = int(self.headers["Content-Length"] or 0)
        content = json.loads(self.rfile.read(length)) if length else {}
        server.requests.append((self.command, self.path))
        if server.moved:
            return self.answer(302, {}, {"Location": f"{server.address}/elsewhere"})
        given = self.headers["PRIVATE-TOKEN"] or (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if given not in (TOKEN, READER):
            return self.answer(401, {"message": f"Bad credentials {given}\n::error::x"})
        if parts.path == "/user":
            return self.answer(200, {"id": 3, "username": server.bot})
        match = (_GITHUB if server.kind == "github" else _GITLAB).fullmatch(parts.path)
        if not match or match["number"] not in (None, "12"):
            return self.answer(404, {"message": "Not Found"})
        if self.command == "GET":
            return self.list_page(parse_qs(parts.query))
        if given == READER:
            return self.answer(403, {"message": "Resource not accessible by integration"})
        return self.write(match["id"], content)

    def list_page(self, query):
        size, page = int(query["per_page"][0]), int(query["page"][0])
        ids = sorted(self.server.comments)
        last = page * size >= len(ids)
        if self.server.kind == "github":
            link = (
                f'<{self.server.address}/x?page={page + 1}>; rel="next"' if not last else '<x>; rel="first"'
            )
            headers = {"Link": link}
        else:
            headers = {"X-Next-Page": "" if last else str(page + 1)}
        self.answer(200, [self.shown(number) for number in ids[(page - 1) * size : page * size]], headers)

    def write(self, number, content):
        server = self.server
        status, headers, is_done = server.bad_days.pop(0) if server.bad_days else (200, {}, True)
        if is_done:
            if self.command == "POST":
                number = server.add(content["body"])
            elif int(number) not in server.comments:
                return self.answer(404, {"message": "Not Found"})
            elif self.command == "DELETE":
                del server.comments[int(number)]
                return self.answer(204, None)
            else:
                server.comments[int(number)]["body"] = content["body"]
        if status != 200:
            return self.answer(status, {"message": "a bad day"}, headers)
        return self.answer(201 if self.command == "POST" else 200, self.shown(int(number)))

    def shown(self, number):
        comment = self.server.comments[number]
        who = (
            {"login": comment["author"]} if self.server.kind == "github" else {"username": comment["author"]}
        )
        name = "user" if self.server.kind == "github" else "author"
        return {"id": number, "body": comment["body"].replace("\n", "\r\n"), name: who}

    def answer(self, status, content, headers=None):
        data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
