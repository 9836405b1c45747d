"""The checks of `winnow doctor`: one function per finding, about the machine, the project and the servers."""
