"""Images: where they lie, what is wrong with them, how they are decoded, and faults planted on purpose."""
