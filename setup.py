"""Which packages there are: all that are found, and `configs/` as `lmv3det.configs`.

All else is in pyproject.toml, which cannot say both.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["lmv3det*", "pagegen*"]), "lmv3det.configs"],
    package_dir={"lmv3det.configs": "configs"},
)
