"""Serve MLflow's pages for `winnow ui`: to this machine, or to other machines with a password."""

import ipaddress
import os
import sys
from pathlib import Path

from winnow.errors import InputError

HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"  # by which others call the server, perhaps through a proxy
SECRETS = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": "the password of the user admin",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a random text that signs its forms: openssl rand -hex 32",
}


def command(host: str, port: int) -> list[str]:
    """The server's command line.

    Raises:
        InputError: others could reach it, and there is no password.
    """
    project = Path.cwd()
    store, kept = f"sqlite:///{project / 'mlflow.db'}", (project / "mlartifacts").as_uri()
    server = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        store,
        "--host",
        host,
        "--port",
        str(port),
    ]
    if is_loopback(host):
        # MLflow itself lets in pages of any other server of this machine, and any host that begins with "10.".
        own = [] if os.environ.get(HOSTS) else ["--uvicorn-opts", "--http winnow.local.own_pages:protocol"]
        # On a busy machine several would be killed and started again, since they answer their supervisor too late.
        workers = ["--workers", os.environ.get("MLFLOW_WORKERS") or "1"]
        return [*server, "--default-artifact-root", kept, *workers, *own]
    if missing := [f"{name} ({what})" for name, what in SECRETS.items() if not os.environ.get(name)]:
        raise InputError(
            f"others could reach MLflow at {host}, so it asks for a password: set {' and '.join(missing)} in the "
            "environment (docs/security.md)"
        )
    # Others cannot see our folders: the server hands them what lies there.
    names = ["--allowed-hosts", os.environ.get(HOSTS) or f"{host}:{port},localhost:{port}"]
    return [*server, "--app-name", "basic-auth", "--artifacts-destination", kept, *names]


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
