"""The servers of the I/O benchmarks: which implementation can be which, how each is started and stopped."""
import pathlib
import re
import socket
import subprocess
import tempfile
import time

SECONDS = 10  # one that has not begun to listen by then has failed


class NotThere(Exception):
    pass


NGINX = """
daemon off; error_log stderr crit; pid {folder}/nginx.pid; worker_processes {procs}; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; open_file_cache max=16;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {folder};
    location = /hello {{ default_type text/plain; return 200 "hello"; }}
  }}
}}
"""


def own(program, serves, procs, port, folder, case):
    """Our own programs all take the same arguments."""
    return [program, serves, procs, port, folder]


def epoll_or_uv(program, serves, procs, port, folder, case):
    return own(program, serves, procs, port, folder, case)[:4] if serves == "echo" else None


def tokio(program, serves, procs, port, folder, case):
    return [program, serves, procs, port] if serves == "echo" else None


def go(program, serves, procs, port, folder, case):
    return own(program, serves, procs, port, folder, case) if serves in ("echo", "http") else None


def nginx(program, serves, procs, port, folder, case):
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, procs=procs, port=port))
    return [program, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"] if serves == "http" else None


def redis(program, serves, procs, port, folder, case):
    return [program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder] if serves == "kv" else None


def ecru(program, serves, procs, port, folder, case):
    if serves == "echo":
        return [program, serves, procs, port]
    examples = pathlib.Path(program).parent.parent.parent / "examples"
    command = {
        "http": [examples / "httpd", "--port", port, "--procs", procs, *(["--hello"] if case == "http_hello" else ["--root", folder])],
        "kv": [examples / "kv", "--port", port, "--procs", procs],
    }[serves]
    if not command[0].exists():
        raise NotThere(f"docs/examples/{command[0].name} is not built")
    return command


COMMANDS = {"ecru": ecru, "go": go, "go_debian": go, "go_backports": go, "tokio": tokio, "uv": epoll_or_uv, "epoll": epoll_or_uv, "nginx": nginx, "redis": redis}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Server:
    """A server that listens while the with block lasts. `make` gives its command line, as those of COMMANDS do. `pids` are its processes."""

    def __init__(self, make, program, case, procs, environment):
        self.case, self.environment = case, environment
        self.folder = tempfile.TemporaryDirectory(prefix="bench_io")
        self.port = free_port()
        folder = pathlib.Path(self.folder.name)
        folder.chmod(0o755)  # nginx' workers are nobody
        (folder / "file10k.txt").write_bytes(bytes(i % 251 for i in range(10240)))
        (folder / "hello").write_text("hello")
        self.command = make(program, case.serves, procs, self.port, folder, case.name) if make else None
        if self.command is None:
            self.folder.cleanup()
            raise NotThere("")

    def __enter__(self):
        self.complaints = open(pathlib.Path(self.folder.name) / "complaints", "w+")
        words = [str(word) for word in self.command]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.complaints, env=self.environment)
        end = time.monotonic() + SECONDS
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > end:
                reason = self.complaint()
                self.__exit__()
                raise OSError(f"{words[0]} does not listen: {reason}")
            time.sleep(0.01)
        time.sleep(0.05)  # let it settle
        self.pids = self.family()
        return self

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def complaint(self):
        self.complaints.seek(0)
        lines = [line.strip() for line in self.complaints if line.strip()]
        return lines[-1] if lines else "no message"

    def family(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *(int(n) for n in re.findall(r"\d+", children))]

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.complaints.close()
        self.folder.cleanup()
