"""Where tensors are computed, with how many threads, and in which precision."""
