"""Stands between a client and a server, and writes down which requests came by."""

import socketserver
import socket
import threading


class Recorder(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1 until the `with` block ends."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target):
        super().__init__(("127.0.0.1", 0), Session)
        self.target = target
        self.port = self.server_address[1]
        # One list of requests for each connection, in the order in which they came.
        self.sessions = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Session(socketserver.BaseRequestHandler):
    def handle(self):
        said = []
        self.server.sessions.append(said)
        master = socket.create_connection(self.server.target)
        threading.Thread(target=pump, args=(master, self.request), daemon=True).start()
        requests = Requests(said)
        pump(self.request, master, requests.feed)


def pump(source, sink, look=lambda data: None):
    """Passes everything on; `look` sees it before the other side does."""
    try:
        while data := source.recv(65536):
            look(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Requests:
    """Takes RESP requests out of a stream: arrays of bulk strings, or inline commands."""

    def __init__(self, said):
        self.rest = b""
        self.said = said

    def feed(self, data):
        self.rest += data
        while (found := self.first()) is not None:
            words, end = found
            self.rest = self.rest[end:]
            if words:
                self.said.append([word.decode(errors="replace") for word in words])

    def first(self):
        """The words of the first whole request and where it ends, or None."""
        head, end = self.line(0)
        if head is None:
            return None
        if not head.startswith(b"*"):
            return head.split(), end
        words = []
        for _ in range(int(head[1:])):
            size, end = self.line(end)
            if size is None or len(self.rest) < end + int(size[1:]) + 2:
                return None
            words.append(self.rest[end : end + int(size[1:])])
            end += int(size[1:]) + 2
        return words, end

    def line(self, start):
        end = self.rest.find(b"\r\n", start)
        return (None, start) if end < 0 else (self.rest[start:end], end + 2)
