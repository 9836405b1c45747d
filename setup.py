"""What pyproject.toml cannot say: the wheel holds the stages of a project as data, for `winnow init` to write."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
FILES = ("dvc.yaml", "prefect.yaml", "corrections.csv")
FOLDERS = ("flows", "tasks")


class Build(build_py):
    """Copies the stages beside `winnow.project.template`; a checkout that is installed as editable has them already."""

    def run(self) -> None:
        """Build as usual, then copy."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # else modules that are gone stay in it for ever
        super().run()
        if self.editable_mode:
            return
        for name in self._wanted():
            target = Path(self.build_lib, "winnow/project/files", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(HERE / name, target)

    def get_source_files(self) -> list[str]:
        """The same for an archive of the source."""
        return [*super().get_source_files(), *self._wanted()]

    @staticmethod
    def _wanted() -> list[str]:
        found = [path for folder in FOLDERS for path in sorted((HERE / folder).rglob("*.py"))]
        return [*FILES, *(path.relative_to(HERE).as_posix() for path in found)]


setup(cmdclass={"build_py": Build})
