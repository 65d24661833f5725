"""The part of Django's settings that concerns pgsonde: HOST and PORT."""

import os

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ.get("PGDATABASE", "shop"),
        "USER": os.environ.get("PGUSER", "shop"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "HOST": "127.0.0.1",
        "PORT": "6435",
        "OPTIONS": {"sslmode": "disable", "application_name": "shop"},
        # Sessions that live longer than a request save a connection each time.
        "CONN_MAX_AGE": 60,
    }
}
