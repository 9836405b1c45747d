"""The names of the export formats, in a module of their own so that `--help` loads nothing else."""

from typing import Literal

Format = Literal["ids", "imagefolder", "webdataset", "parquet"]
