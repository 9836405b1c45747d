"""A project of one's own: what a source holds, the files that `winnow init` writes, and how they are updated."""
