"""Put the configs, which lie beside the package in the repository, into the package that is installed."""

from setuptools import find_packages, setup

FILES = "aot_jax.configs.files"

setup(
    packages=[*find_packages(include=["aot_jax*", "data_pipeline*"]), FILES],
    package_dir={FILES: "configs"},
)
