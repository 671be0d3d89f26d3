"""Builds the peers under build/peers. What cannot be built is left out with a reason; nothing is installed here, the
toolchains come from ci/setup, and the Go of the Debian release and the newest of its backports are unpacked below build/."""
import functools
import glob
import os
import pathlib
import re
import shutil
import subprocess



class CannotBuild(Exception):
    pass


def run(command, **options):
    """Runs a command quietly, returns what it printed."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace", timeout=600, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(error) from error
    if done.returncode != 0:
        lines = [text.strip() for text in (done.stderr + done.stdout).splitlines() if text.strip()]
        raise CannotBuild(f"{pathlib.Path(str(command[0])).name}: {next((t for t in lines if 'error' in t.lower()), lines[-1] if lines else 'failed')}")
    return done.stdout


def program_of(project, suite, name):
    if name in INSTALLED:
        return pathlib.Path(shutil.which(INSTALLED[name], path=os.environ["PATH"] + ":/usr/sbin:/sbin") or INSTALLED[name])
    return project / "build" / "peers" / name / (f"bench_{name}" if suite == "core" else f"bench_{suite}_{name}")


def build(project, suite, name, only_look):
    """Returns the program of a peer, built unless only_look."""
    program = program_of(project, suite, name)
    if name in INSTALLED:
        only_look = True
    if not only_look:
        print(f"building {name} ...", flush=True)
        program.parent.mkdir(parents=True, exist_ok=True)
        BUILDERS[suite][name](project, program.parent, program)
    if not program.exists():
        raise CannotBuild("is not installed" if name in INSTALLED else "has not been built")
    return program


def version(project, suite, name):
    """Which version was measured, as far as it can be told."""
    try:
        if name.startswith("go"):
            found = re.search(rb"go1\.\d+(\.\d+)?", program_of(project, suite, name).read_bytes())  # the build information
            return found.group().decode() if found else "?"
        if name == "boost_fiber":
            return run(["g++", "-x", "c++", "-E", "-dM", "-include", "boost/version.hpp", "/dev/null"]).split("BOOST_LIB_VERSION ")[1].split()[0].strip('"').replace("_", ".")
        if name in ("nginx", "redis"):
            done = subprocess.run([program_of(project, suite, name), "-v"], capture_output=True, text=True, check=False)
            return re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr).group()
        if name == "uv":
            return run(["pkg-config", "--modversion", "libuv"]).strip()
        if name in ("epoll", "threads"):
            return "Linux " + os.uname().release
        lock = (project / "tests" / "peers" / name / "Cargo.lock").read_text()
        return re.search(rf'name = "{name}"\nversion = "(.*)"', lock).group(1)
    except (CannotBuild, OSError, IndexError, AttributeError):
        return "?"


def build_go(go, project, program, package="."):
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    environment.pop("GOROOT", None)
    run([go, "build", "-o", program, package], cwd=project / "tests" / "peers" / "go", env=environment)


def build_go_here(package, project, out, program):
    go = shutil.which("go")
    if go is None:
        raise CannotBuild("no go on the machine")
    build_go(go, project, program, package)


def build_go_packaged(package, suite_suffix, project, out, program):
    go = next(iter(glob.glob(str(out / "usr/lib/go-1.*/bin/go"))), None) or unpack_go(suite_suffix, out)
    build_go(go, project, program, package)


def minor_version(text):
    return int(re.search(r"1\.(\d+)", text).group(1))


def unpack_go(suite_suffix, out):
    """Downloads the newest golang-1.x of a suite of the release, with package lists of our own, and unpacks it."""
    targets = run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)", "Created-By: Packages"])
    release = next((t.split("|") for t in targets.splitlines() if re.fullmatch(r"Debian\|.*\|[a-z]+", t)), None)
    if release is None:
        raise CannotBuild("no Debian release in apt's sources")
    _, address, suite = release
    for folder in ("lists/partial", "cache/archives/partial"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (out / "sources.list").write_text(f"deb [signed-by={keyring}] {address} {suite}{suite_suffix} main\n")
    options = [f"Dir::State::lists={out}/lists", f"Dir::Cache={out}/cache", f"Dir::Etc::sourcelist={out}/sources.list", "Dir::Etc::sourceparts=/dev/null", "APT::Sandbox::User="]
    options = [word for option in options for word in ("-o", option)]
    run(["apt-get", *options, "update"])
    found = re.findall(r"^golang-(1\.\d+)-go ", run(["apt-cache", *options, "search", r"^golang-1\.[0-9]+-go$"]), re.M)
    if not found:
        raise CannotBuild(f"no golang in {suite}{suite_suffix}")
    newest = max(found, key=minor_version)
    run(["apt-get", *options, "download", f"golang-{newest}-go", f"golang-{newest}-src"], cwd=out)
    for package in glob.glob(str(out / "*.deb")):
        run(["dpkg-deb", "-x", package, out])
        os.remove(package)
    return out / "usr/lib" / f"go-{newest}" / "bin/go"


def build_boost_fiber(project, out, program):
    source = project / "tests" / "peers" / "boost_fiber" / "main.cpp"
    run(["g++", "-std=c++17", "-O3", "-DNDEBUG", source, "-o", program, "-lboost_fiber", "-lboost_context", "-pthread"])


def build_c(name, libraries, project, out, program):
    run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O3", "-DNDEBUG", project / "tests" / "peers" / name / "main.c", "-o", program, "-pthread", *libraries])


def build_cargo(name, binary, project, out, program):
    if shutil.which("cargo") is None:
        raise CannotBuild("no cargo on the machine")
    manifest = project / "tests" / "peers" / name / "Cargo.toml"
    run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", manifest, "--target-dir", out / "target", "--bin", binary])
    shutil.copy2(out / "target" / "release" / binary, program)


def builders_of_go(package):
    return {
        "go": functools.partial(build_go_here, package),
        "go_debian": functools.partial(build_go_packaged, package, ""),
        "go_backports": functools.partial(build_go_packaged, package, "-backports"),
    }


INSTALLED = {"nginx": "nginx", "redis": "redis-server"}  # by ci/setup, nothing to build
BUILDERS = {
    "core": {
        **builders_of_go("."),
        "boost_fiber": build_boost_fiber,
        "tokio": functools.partial(build_cargo, "tokio", "bench_tokio"),
        "may": functools.partial(build_cargo, "may", "bench_may"),
    },
    "io": {
        **builders_of_go("./io"),
        "tokio": functools.partial(build_cargo, "tokio", "bench_tokio_io"),
        "uv": functools.partial(build_c, "uv", ["-luv"]),
        "epoll": functools.partial(build_c, "epoll", []),
        "threads": functools.partial(build_c, "threads", []),
        "nginx": None,
        "redis": None,
    },
}
NAMES = {suite: list(builders) for suite, builders in BUILDERS.items()}
