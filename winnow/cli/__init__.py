"""The winnow command."""

import winnow.run  # noqa: F401  (it sets what Prefect reads from the environment)
