"""Servers for the demo and the bench that are gone when their caller is, however it ends."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GUARD = (ROOT / "scripts/guard.sh").read_text()
START_LIMIT_S = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def target():
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target")


def binary(path):
    """An argument that names a program: absolute, because guarded programs run in the root folder."""
    found = Path(path).resolve()
    if not os.access(found, os.X_OK):
        raise ValueError(path)
    return found


def wait_for(what, probe, limit_s=START_LIMIT_S):
    """Asks every 50 ms until probe() gives something true, and returns that."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        value = probe()
        if value:
            return value
        time.sleep(0.05)
    raise RuntimeError(f"waited {limit_s} s in vain: {what}")


class Guarded:
    """A long-running program under scripts/guard.sh; its output goes to the file `log`."""

    def __init__(self, command, log, signal="TERM", folder="", user=None):
        self.log = Path(log)
        ids = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        with open(self.log, "w") as sink:
            self.shell = subprocess.Popen(
                ["sh", "-c", GUARD, "guard", signal, str(folder), *map(str, command)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sink, cwd="/",
                start_new_session=True, text=True, **ids)
        self.pid = int(self.shell.stdout.readline())

    def output(self):
        return self.log.read_text()

    def running(self):
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def require_running(self, what):
        if not self.running():
            raise RuntimeError(f"{what} ended early:\n{self.output()}")

    def stop(self):
        if not self.shell.stdin.closed:
            self.shell.stdin.close()
        return self.shell.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Postgres:
    """A private PostgreSQL on a free loopback port, in a temporary folder that goes with it."""

    def __init__(self, **settings):
        self.bin = Path(subprocess.check_output([ROOT / "scripts/pg-bin.sh"], text=True).strip())
        self.port = free_port()
        # PostgreSQL refuses to run as root; root lends it the user that the package made, or nobody.
        self.user = server_user() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="pgsonde-pg-"))
        if self.user:
            os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        try:
            self._init(settings)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _init(self, settings):
        ids = {} if not self.user else {
            "user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        subprocess.run(
            [self.bin / "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D", data],
            cwd="/", check=True, stdout=subprocess.DEVNULL, **ids)
        settings = {"port": self.port, "listen_addresses": "'127.0.0.1'", "fsync": "off",
                    "unix_socket_directories": f"'{self.folder}'", **settings}
        with open(data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self.server = Guarded([self.bin / "postgres", "-D", data], self._log_path(), "INT", self.folder, self.user)

    def _log_path(self):
        # Outside the folder, which the guard removes as the server's user.
        self.log = tempfile.NamedTemporaryFile(prefix="pgsonde-pg-", suffix=".log")
        return self.log.name

    def __enter__(self):
        try:
            wait_for("PostgreSQL answers", self._answers)
        except BaseException:
            self.server.stop()
            raise
        return self

    def __exit__(self, *_):
        self.server.stop()
        self.log.close()

    def _answers(self):
        self.server.require_running("PostgreSQL")
        return self.tool("psql", "-XAtqc", "select 1", check=False, stderr=subprocess.DEVNULL).returncode == 0

    def env(self, port=None):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return clean | {"PGHOST": "127.0.0.1", "PGPORT": str(port or self.port),
                        "PGUSER": "postgres", "PGDATABASE": "postgres"}

    def tool(self, program, *args, port=None, check=True, stderr=None, stdin=subprocess.DEVNULL):
        """Runs psql or pgbench of this PostgreSQL, against it or against a proxy before it."""
        return subprocess.run([self.bin / program, *args], env=self.env(port), check=check, text=True,
                              stdin=stdin, stdout=subprocess.PIPE, stderr=stderr)

    def query(self, sql, port=None):
        return self.tool("psql", "-XAtqc", sql, port=port).stdout.strip()


class Proxy(Guarded):
    """`pgsonde proxy` before a PostgreSQL, on free ports; `port` and `admin` come from its ready lines."""

    def __init__(self, binary, upstream_port, folder, listen="127.0.0.1:0", upstream=None, config=None):
        upstream = upstream or f"postgresql://127.0.0.1:{upstream_port}"
        more = ["--config", config] if config else []
        super().__init__([binary, "proxy", *more, "--upstream", upstream, "--listen", listen, "--admin", "127.0.0.1:0"],
                         Path(folder) / "proxy.log")
        try:
            self.port, self.admin = wait_for("the proxy is ready", self._addresses)
        except BaseException:
            self.stop()
            raise

    def _addresses(self):
        self.require_running("the proxy")
        words = {line.split()[0]: line.split()[1] for line in self.output().splitlines() if line.startswith("  ")}
        if "app" not in words or "report" not in words:
            return None
        port = words["app"].rstrip("/").rpartition(":")[2]
        return int(port) if port.isdigit() else None, words["report"].partition("#")[0].rstrip("/")


def server_user():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    sys.exit("root needs the user postgres or nobody to run the server as")
