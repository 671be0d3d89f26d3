"""The programs of the Python benchmarks as command lines. All of Python live in a virtual environment below build/peers that ci/setup
makes; what is missing there is left out with the reason."""
import subprocess

from . import peers

CPYTHON = ("asyncio", "threads")  # come with it
NAMES = ["gevent", "asyncio", "asyncio-protocol", "uvloop", "uvloop-protocol", "trio", "threads", "greenlet", "runloom", "go"]


def base(name):
    """asyncio for asyncio-protocol, which has its own case in the same program."""
    return name.split("-")[0]


def python(project):
    """The interpreter of the virtual environment."""
    found = project / "build" / "peers" / "python" / "bin" / "python"
    if not found.exists():
        raise peers.CannotBuild("no virtual environment: ci/setup bench-python")
    return found


LOOK_UP = """
import importlib, importlib.metadata, platform, sys
module, interpreter = sys.argv[1], "CPython " + platform.python_version()
try:
    importlib.import_module(module)
except ImportError as error:
    sys.exit(f"{error} ({interpreter})")
print(f"{importlib.metadata.version(module)} on {interpreter}" if module in importlib.metadata.packages_distributions() else interpreter)
"""


def look_up(project, module):
    """Imports a module in the virtual environment. returns: its version, if it is not CPython's own, and CPython's."""
    done = subprocess.run([python(project), "-c", LOOK_UP, module], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise peers.CannotBuild((done.stderr.strip().splitlines() or ["cannot be imported"])[-1])
    return done.stdout.strip()


def version(project, name):
    try:
        return peers.version(project, "io", name) if name == "go" else look_up(project, "threading" if name == "threads" else base(name))
    except peers.CannotBuild:
        return "?"


def tools(project):
    """What serves and asks in the cases of HTTP."""
    return ", ".join(f"{name} {look_up(project, name).split()[0]}" for name in ("gunicorn", "requests"))


def build(project, name, only_look):
    """returns: the command line of a peer, without its arguments."""
    if name == "go":
        return {suite: peers.build(project, suite, name, only_look) for suite in ("core", "io")}
    if base(name) not in CPYTHON:
        try:
            look_up(project, base(name))
        except peers.CannotBuild as reason:
            raise peers.CannotBuild(f"{reason}; what pip said is in build/peers/python/pip.log") from None
    return [python(project), "-B", project / "tests" / "peers" / "python" / f"bench_{base(name)}.py"]


def build_ecru(project, only_look):
    """returns: the command line of ecru's side, with the binding installed in the virtual environment."""
    if not only_look and (project / "pyproject.toml").exists():
        print("installing ecru ...", flush=True)
        peers.run([python(project), "-m", "pip", "install", "--quiet", project])
    look_up(project, "ecru")
    return [python(project), "-B", project / "tests" / "bench" / "python.py"]
