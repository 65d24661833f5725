"""What the bench compares: each relay is a process before the same PostgreSQL, with an address of its own."""

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))
from throwaway import Guarded, Proxy, free_port, server_user, wait_for  # noqa: E402

HAPROXY = """
global
    maxconn 1000
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:{port}
    server upstream 127.0.0.1:{upstream}
"""

PGBOUNCER = """
[databases]
* = host=127.0.0.1 port={upstream}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = session
max_client_conn = 1000
default_pool_size = 500
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
"""


class Relay:
    """A process to connect through. `host` is an address or the folder of a Unix socket."""

    def __init__(self, process, host, port):
        self.process, self.pid, self.host, self.port = process, process.pid, host, port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def cpu_us(self):
        """Scheduler run time of all its threads."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass  # a thread that has just ended
        return total / 1000

    def user_share(self):
        """(user, all) time in clock ticks, to split what `cpu_us` says."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return int(user), int(user) + int(system)


def started(name, process, host, port, postgres):
    def answers():
        process.require_running(name)
        probe = postgres.tool("psql", "-XAtqc", "select 1", "-h", host, port=port, check=False,
                              stderr=open(os.devnull, "w"))
        return probe.stdout

    try:
        wait_for(f"{name} answers", answers)
    except BaseException:
        process.stop()
        raise
    return Relay(process, host, port)


def floor(program, postgres, folder, unix=False):
    port = free_port()
    if unix:
        listen, upstream, host = f"{folder}/.s.PGSQL.{port}", f"{postgres.folder}/.s.PGSQL.{postgres.port}", folder
    else:
        listen, upstream, host = f"127.0.0.1:{port}", f"127.0.0.1:{postgres.port}", "127.0.0.1"
    process = Guarded([program, listen, upstream], Path(folder) / f"floor-{port}.log")
    return started("the floor", process, host, port, postgres)


def haproxy(postgres, folder):
    program = shutil.which("haproxy") or "/usr/sbin/haproxy"
    port, config = free_port(), Path(folder) / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, upstream=postgres.port))
    process = Guarded([program, "-db", "-f", config], Path(folder) / "haproxy.log")
    return started("haproxy", process, "127.0.0.1", port, postgres)


def pgbouncer(postgres, folder):
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    port, config, users = free_port(), Path(folder) / "pgbouncer.ini", Path(folder) / "users.txt"
    users.write_text('"postgres" ""\n')
    config.write_text(PGBOUNCER.format(port=port, upstream=postgres.port, users=users))
    # It refuses to run as root, and its files must be readable to whom it runs as.
    user = server_user() if os.geteuid() == 0 else None
    os.chmod(folder, 0o755)
    process = Guarded([program, config], Path(folder) / "pgbouncer.log", user=user)
    return started("pgbouncer", process, "127.0.0.1", port, postgres)


def pgsonde(program, postgres, folder, unix=False):
    if unix:
        port = free_port()
        proxy = Proxy(program, postgres.port, folder, listen=f"unix:{folder}/.s.PGSQL.{port}",
                      upstream=f"postgresql:///?host={postgres.folder}&port={postgres.port}")
        relay = started("pgsonde", proxy, folder, port, postgres)
    else:
        proxy = Proxy(program, postgres.port, folder)
        relay = started("pgsonde", proxy, "127.0.0.1", proxy.port, postgres)
    relay.admin = proxy.admin
    return relay
