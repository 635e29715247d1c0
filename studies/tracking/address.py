"""Where MLflow's record is: tracking URIs, whether a server answers there, and how they are told without their credentials.

Credentials come in the URI (``https://user:password@host``) or in MLflow's own environment variables. They go to the server and nowhere
else: what is printed, logged or stored passes through `without_credentials` or `told` first. What is sent there is not this file's affair.
"""

from __future__ import annotations

import base64
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

UI_PORT = 5000
"""Where ``margin-studies ui`` shows the work directory's own store, unless it is told another port."""
UI_ADDRESS = f"http://127.0.0.1:{UI_PORT}"
_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks")
_SECRET_VARIABLES = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
_EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"
_USERINFO = re.compile(r"(?<=://)[^/\s'\"]*@")
_ANSWER_WITHIN = 20.0  # seconds; a server that has just started looks at its tables first


def embedded_uri(workdir: Path) -> str:
    """The tracking URI of the store that lives in the work directory."""
    return f"sqlite:///{(workdir / 'mlflow.db').resolve()}"


def is_server(uri: str) -> bool:
    """Whether ``uri`` is of a server, and not of a database that this process would open itself."""
    return uri.startswith(("http:", "https:"))


def without_credentials(uri: str) -> str:
    """``uri`` as it may be told and stored: without user, password and query.

    >>> without_credentials("https://ada:secret@mlflow.example:5000/team")
    'https://mlflow.example:5000/team'
    >>> without_credentials("sqlite:////home/ada/margin-runs/mlflow.db")
    'sqlite:////home/ada/margin-runs/mlflow.db'
    """
    return _USERINFO.sub("", uri).partition("?")[0]


def told(error: BaseException, uri: str) -> str:
    """An error of MLflow's in one line that holds none of the credentials for ``uri``."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0] if lines else 'no message'}".replace(uri, without_credentials(uri))
    parts = urlsplit(uri)
    asked = [value for name, value in parse_qsl(parts.query) if "pass" in name]
    secrets = [parts.password or parts.username, *asked, *map(os.environ.get, _SECRET_VARIABLES)]
    for secret in filter(None, secrets):
        text = text.replace(secret, "***").replace(unquote(secret), "***")
    return _USERINFO.sub("", text)[:300]


def check_tracking_uri(uri: str) -> None:
    """Look whether ``uri`` can be a study's record.

    Raises:
        ValueError: It is no MLflow store.
        PermissionError: A server answers there and does not take the credentials.
        ConnectionError: No server answers there, or one in trouble; it may later.
    """
    scheme = uri.partition(":")[0].partition("+")[0]
    shown = without_credentials(uri)
    if scheme not in _SCHEMES or ":" not in uri:
        raise ValueError(f"--tracking-uri must begin with one of {', '.join(f'{name}:' for name in _SCHEMES)}, got {shown!r}")
    if not is_server(uri):
        return
    try:
        credentials = _authorization(uri)
        _get(f"{shown.rstrip('/')}/health", credentials)
        if credentials or not (Path.home() / ".mlflow" / "credentials").is_file():  # that file is MLflow's own to read
            _get(f"{shown.rstrip('/')}{_EXPERIMENTS}", credentials)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            raise PermissionError(f"the MLflow server at {shown} does not let this process in (status {error.code}); {hint}") from None
        raise ConnectionError(f"the MLflow server at {shown} answers with status {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ConnectionError(f"no MLflow server answers at {shown}: {getattr(error, 'reason', None) or error}") from None


def _get(url: str, credentials: str | None) -> None:
    headers = {"Authorization": credentials} if credentials else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_ANSWER_WITHIN):
        return


def _authorization(uri: str) -> str | None:
    """The header that MLflow's client would send: of the URI's user, or of the environment's user or token."""
    parts = urlsplit(uri)
    for user, password in (
        (unquote(parts.username or ""), unquote(parts.password or "")),
        (os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")),
    ):
        if user and password:
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return f"Bearer {token}" if token else None
