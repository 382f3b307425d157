"""tuspyserver in a FastAPI application, as its README shows; for uvicorn."""

import os

from fastapi import FastAPI
from tuspyserver import create_tus_router  # type: ignore[import-not-found]

application = FastAPI()
application.include_router(create_tus_router(prefix="files", files_dir=os.environ["BENCH_DIRECTORY"]))
