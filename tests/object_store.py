"""An object store that speaks S3, in a process of its own: moto's server, for as long as a test wants it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from pyarrow import fs

from tests.ray_head import answers, free_port

KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def object_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of an empty folder of a bucket; what is started in the block finds the keys in its environment."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    address = f"127.0.0.1:{free_port()}"
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", address.partition(":")[2]]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, env=dict(os.environ), **quiet) as server:  # type: ignore[call-overload]
        try:
            while not answers(address):
                assert server.poll() is None
                time.sleep(0.1)
            where = f"scheme=http&region=us-east-1&endpoint_override={quote(address)}"
            store, bucket = fs.FileSystem.from_uri(f"s3://bucket?{where}&allow_bucket_creation=true")
            store.create_dir(bucket)
            yield f"s3://bucket/studies?{where}"
        finally:
            server.terminate()
            server.wait(timeout=60)
