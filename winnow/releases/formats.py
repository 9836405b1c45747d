"""The formats of an export, by name; nothing else, so that the command's help need load no more."""

from typing import Literal

Format = Literal["ids", "imagefolder", "webdataset", "parquet"]
