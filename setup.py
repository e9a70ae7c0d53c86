"""Installs the configuration inside the package, `conf/` as `delt_exp/conf/`; all else stands in pyproject.toml."""

from setuptools import find_namespace_packages, setup

CODE = find_namespace_packages(include=["delt_exp*", "hydra_plugins*"])
CONF = [f"delt_exp.{folder}" for folder in find_namespace_packages(include=["conf*"])]

setup(packages=[*CODE, *CONF], package_dir={"delt_exp.conf": "conf"})
