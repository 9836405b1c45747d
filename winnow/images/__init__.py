"""Images: where they lie, what is wrong with them, how they are decoded, and faults planted on purpose."""

from typing import Literal

Droppable = Literal["duplicates", "dark", "light", "blurry", "low_information"]  # what `prepare.drop` may name
