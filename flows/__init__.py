"""One thin Prefect flow a stage, and those of the schedule."""

import winnow.run  # noqa: F401  (imported first: it sets what Prefect reads from the environment)
