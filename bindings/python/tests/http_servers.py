"""An HTTP server of the standard library that takes its time."""

import http.server
import time

DELAY_SECONDS = 0.4


class SlowHandler(http.server.BaseHTTPRequestHandler):
    """Answers with the path, after a while."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(DELAY_SECONDS)
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


class SlowServer(http.server.ThreadingHTTPServer):
    """Its queue is long enough for all that come at once."""

    request_queue_size = 300
