"""An HTTP server that behaves badly, for tests/apps/crawl: prints its port, then serves for ever."""
import socket
import struct
import threading
import time

CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drip(connection, first, piece):
    connection.sendall(first)
    while True:
        connection.sendall(piece)
        time.sleep(0.05)


def flood(connection, first, piece):
    connection.sendall(first)
    while True:
        connection.sendall(piece)


ANSWERS = {
    "/good": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "/to_the_end": b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "/chunks": CHUNKS + b"5;extension\r\nhello\r\n0A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n",
    "/remark": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/no_content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/nothing": b"",
    "/not_http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "/bad_length": b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
    "/short": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
    "/cut_head": b"HTTP/1.1 200 OK\r\nContent-Len",
    "/bad_chunk": CHUNKS + b"5\r\nhelloXX\r\n0\r\n\r\n",
    "/bad_size": CHUNKS + b"hello\r\n",
    "/huge_size": CHUNKS + b"ffffffffffffffffffffffff\r\n",
    "/cut_chunk": CHUNKS + b"50\r\nhello",
    "/unknown_encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
    "/lost": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "/to_https": b"HTTP/1.1 301 Moved\r\nLocation: https://localhost/\r\n\r\n",
    "/relative": b"HTTP/1.1 307 Moved\r\nLocation: good\r\n\r\n",
    "/long_line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100000 + b"\r\n\r\n",
    "/large": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
}


def serve(connection):
    try:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(4096)
            if not piece:
                return
            request += piece
        path = request.split()[1].decode()
        if path in ANSWERS:
            connection.sendall(ANSWERS[path])
        elif path == "/reset":
            reset(connection)
        elif path == "/reset_late":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello")
            time.sleep(0.1)
            reset(connection)
        elif path == "/silent":
            time.sleep(3600)
        elif path == "/drip_head":
            drip(connection, b"HTTP/1.1 200 OK\r\nX: ", b"x")
        elif path == "/drip_body":
            drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")
        elif path == "/endless_headers":
            flood(connection, b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n" * 100)
        elif path == "/endless_remarks":
            flood(connection, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        elif path == "/endless_body":
            flood(connection, b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 65536)
    except OSError:
        pass
    finally:
        connection.close()


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


main()
