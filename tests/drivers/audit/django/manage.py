"""The shop as a Django project in one file: `manage.py test shop`. SHOP_FIXED=1 joins the customers.

Each statement says which line of this project sent it, as Django's tagging middlewares do.
"""

import os
import sys
import traceback
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

HERE = Path(__file__).parent
database = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    INSTALLED_APPS=["shop"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database.path.lstrip("/"),
            "USER": database.username,
            "PASSWORD": database.password,
            "HOST": database.hostname,
            "PORT": database.port,
            "OPTIONS": {"sslmode": "prefer"},
        }
    },
)


def tagged(execute, sql, params, many, context):
    """Adds file and line of the innermost frame of this project."""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename.startswith(str(HERE / "shop")):
            file = Path(frame.filename).relative_to(HERE)
            sql = f"{sql} /*file='{file}',line='{frame.lineno}'*/"
            break
    return execute(sql, params, many, context)


def install(connection, **_kwargs):
    connection.execute_wrappers.append(tagged)


if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    from django.db.backends.signals import connection_created

    sys.path.insert(0, str(HERE))
    connection_created.connect(install)
    execute_from_command_line(sys.argv)
