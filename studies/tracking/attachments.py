"""What a study has in MLflow beside its runs' numbers: files, and best configurations as registered models.

Each function may be called again with the same things and changes nothing then.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from studies.tracking.asking import hopeless
from studies.tracking.session import Session

ALIAS = "best"
_DIGEST = "content_sha256"


def attach(session: Session, file: Path, folder: str | None = None) -> None:
    """Put a file among the artifacts of the study's run."""
    session.patience.ask(lambda again: session.client.log_artifact(session.study_run, str(file), folder))


def register(session: Session, dataset: str, folder: Path, description: str) -> str:
    """Make what was exported for a dataset the best version of its registered model; returns the model's name and version.

    The files go among the study's artifacts, below ``export/<dataset>``. The model is called by study and dataset, and its alias
    ``best`` moves to the version of these files: a new one, unless there is one of them.
    """
    name, digest = model_name(session.spec.name, dataset), _digest(folder)
    client, ask = session.client, session.patience.ask
    kept = f"export/{name}/{digest[:12]}"
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        attach(session, file, "/".join([kept, *file.parent.relative_to(folder).parts]))
    tags = {"study": session.spec.name, "dataset": dataset}
    try:
        ask(lambda again: client.create_registered_model(name, tags=tags))
    except Exception as error:
        if not hopeless(error):
            raise  # else it is there
    source = ask(lambda again: client.get_run(session.study_run)).info.artifact_uri + f"/{kept}"

    def version(again: bool) -> str:
        for former in client.search_model_versions(f"name = '{name}'"):
            if former.tags.get(_DIGEST) == digest and former.run_id == session.study_run:
                return str(former.version)
        made = client.create_model_version(name, source, session.study_run, tags={**tags, _DIGEST: digest}, description=description)
        return str(made.version)

    number = ask(version)
    ask(lambda again: client.set_registered_model_alias(name, ALIAS, number))
    return f"{name} version {number}"


def model_name(study: str, dataset: str) -> str:
    """The registered model of a study's dataset; MLflow allows no ``/``, ``:`` or quotes in it.

    >>> model_name("margins", "folder:/data/shoes")
    'margins.folder--data-shoes'
    """
    return re.sub("[^A-Za-z0-9_.+-]", "-", f"{study}.{dataset}")


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
