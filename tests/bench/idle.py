"""Memory of idle sessions: opens many, and prints what each costs the proxy, in bytes of resident memory.

python tests/bench/idle.py [--binary target/release/pgsonde] [--sessions 10000]

The server is played by this program (a real one would need as many processes): it lets everybody in and answers one
query, so that each session has done something before it rests. Exit code 1 above the limit of 64 KiB a session.
"""

import argparse
import asyncio
import resource
import struct
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from throwaway import Guarded, binary, free_port, target, wait_for  # noqa: E402

LIMIT_BYTES = 64 * 1024
GOAL_BYTES = 16 * 1024
BATCH = 200


def frame(tag, body=b""):
    return tag + struct.pack(">I", len(body) + 4) + body


STARTUP_BODY = b"\0\x03\0\0user\0idle\0database\0idle\0application_name\0idle bench\0\0"
STARTUP = struct.pack(">I", len(STARTUP_BODY) + 4) + STARTUP_BODY
WELCOME = frame(b"R", b"\0\0\0\0") + frame(b"S", b"TimeZone\0UTC\0") + frame(b"K", b"\0" * 8) + frame(b"Z", b"I")
QUERY = frame(b"Q", b"select note from idle where id = 1\0")
ANSWER = frame(b"D", b"\0\1\0\0\0\1x") + frame(b"C", b"SELECT 1\0") + frame(b"Z", b"I")


async def played_server(reader, writer):
    try:
        length = struct.unpack(">I", await reader.readexactly(4))[0]
        while length == 8:
            await reader.readexactly(4)
            writer.write(b"N")
            length = struct.unpack(">I", await reader.readexactly(4))[0]
        await reader.readexactly(length - 4)
        writer.write(WELCOME)
        await reader.readexactly(len(QUERY))
        writer.write(ANSWER)
        await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()


async def client(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
    writer.write(STARTUP)
    await reader.readexactly(len(WELCOME))
    writer.write(QUERY)
    await reader.readexactly(len(ANSWER))
    return reader, writer


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


async def measure(proxy_binary, count, folder):
    server = await asyncio.start_server(played_server, "127.0.0.1", 0, backlog=1024, limit=4_096)
    port = server.sockets[0].getsockname()[1]
    listen = free_port()
    config = folder / "pgsonde.toml"
    config.write_text(f"[proxy]\nmax_connections = {count + 2 * BATCH}\n")
    command = [proxy_binary, "proxy", "--config", config, "--upstream", f"postgresql://127.0.0.1:{port}",
               "--listen", f"127.0.0.1:{listen}", "--admin", "127.0.0.1:0"]
    with Guarded(command, folder / "proxy.log") as proxy:
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: wait_for("the proxy is ready", lambda: "report" in proxy.output()))
        kept = [await client(listen) for _ in range(BATCH)]
        await asyncio.sleep(1)
        before, rows = resident(proxy.pid), []
        while len(kept) < count + BATCH:
            size = min(BATCH, count + BATCH - len(kept))
            kept += await asyncio.gather(*(client(listen) for _ in range(size)))
            if len(kept) - BATCH in {count // 10, count // 2, count}:
                await asyncio.sleep(1)
                opened = len(kept) - BATCH
                rows.append((opened, resident(proxy.pid), (resident(proxy.pid) - before) / opened))
        for _, writer in kept:
            writer.close()
    server.close()
    return before, rows


def with_descriptors(sessions):
    """Two sockets a session here, two more in the proxy, which inherits the limit: raised as far as it may be."""
    needed, hard = 2 * sessions + 2_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or needed <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return sessions
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        sessions = (hard - 2_000) // 2
        print(f"the limit of {hard} descriptors leaves room for {sessions} sessions")
    return sessions


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", type=binary, default=target() / "release/pgsonde")
    arguments.add_argument("--sessions", type=int, default=10_000)
    given = arguments.parse_args()
    given.sessions = with_descriptors(given.sessions)
    with tempfile.TemporaryDirectory(prefix="pgsonde-idle-") as folder:
        before, rows = asyncio.run(measure(given.binary, given.sessions, Path(folder)))
    print(f"{'sessions':>10}{'resident MiB':>14}{'bytes a session':>17}")
    print(f"{BATCH:>10}{before / 2**20:>14.1f}{'(base)':>17}")
    for opened, total, each in rows:
        print(f"{opened + BATCH:>10}{total / 2**20:>14.1f}{each:>17.0f}")
    last = rows[-1][2]
    verdict = "goal met" if last <= GOAL_BYTES else "above the goal of 16 KiB"
    print(f"{last / 1024:.1f} KiB a session: {verdict}; limit {LIMIT_BYTES // 1024} KiB")
    return int(last > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
