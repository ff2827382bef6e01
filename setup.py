"""What pyproject.toml cannot say: the checkout's `assets` folder becomes `uncage_demo/assets` inside an installed package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["uncage_demo", "uncage_demo.*"]), "uncage_demo.assets"],
    package_dir={"uncage_demo.assets": "assets"},
)
