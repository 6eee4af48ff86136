"""A server that receives the messages which apprise posts."""

import http.server
import json
import threading

DEADLINE_S = 20.0


class MessageServer:
    """Collects messages; while `gate` is cleared, it does not answer."""

    def __init__(self, status: int = 200) -> None:
        self.messages: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.gate.set()
        message_server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message_server.gate.wait(DEADLINE_S)
                length = int(self.headers["Content-Length"])
                message_server.messages.append(json.loads(self.rfile.read(length)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
