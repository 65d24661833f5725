"""The suite that `pgsonde audit` runs around: SQLAlchemy, with the hook that an application would use."""

import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).parents[3] / "deploy/hooks"))
pytest_plugins = ["pgsonde_pytest"]


@pytest.fixture(scope="session")
def engine():
    engine = create_engine(os.environ["DATABASE_URL"])
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine):
    with Session(engine) as session:
        yield session
