"""Judge labels, cover classes, and explain why a sample was dropped."""
