"""A current ClickHouse engine (chdb) behind the HTTP interface of a server: store.py PORT FOLDER.

What the exporter and the reports need of it: POST with the statement in `query` or in the body, settings as
parameters, bodies in zstd, refusals with status 500 and the engine's own words.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

SETTINGS = {
    "input_format_skip_unknown_fields", "insert_distributed_sync", "insert_deduplication_token",
    "deduplicate_blocks_in_dependent_materialized_views", "async_insert",
    "output_format_json_quote_64bit_integers",
}


class Store(BaseHTTPRequestHandler):
    """One request at a time: the engine is a library."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.answer(200, "Ok.\n")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "zstd":
            body = subprocess.run(["zstd", "-dcq"], input=body, capture_output=True, check=True).stdout
        given = dict(parse_qsl(urlsplit(self.path).query))
        settings = ", ".join(f"{name} = '{value}'" for name, value in given.items() if name in SETTINGS)
        sql = given.get("query", "")
        if sql.startswith("INSERT"):
            sql = sql.replace(" FORMAT ", f" SETTINGS {settings} FORMAT ", 1) + "\n"
        sql += body.decode()
        try:
            self.answer(200, str(ENGINE.query(sql, "TabSeparated")))
        except Exception as error:  # whatever the engine says, the client shall read
            self.answer(500, str(error)[str(error).find("Code: "):])

    def answer(self, status, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


ENGINE = session.Session(sys.argv[2])
ENGINE.query("CREATE DATABASE IF NOT EXISTS default")
ENGINE.query("USE default")
HTTPServer(("127.0.0.1", int(sys.argv[1])), Store).serve_forever()
