"""What a wheel holds: the package and, inside of it, the shipped configs with all that they name.

They stand at the top of the repository, where a reader looks for them, and in `thermojax/shipped`
of an installed package, where `thermojax/experiment/shipped.py` finds them.
"""

from setuptools import find_namespace_packages, setup

FOLDERS = ("configs", "data", "experiments", "examples")  # configs name classes of the last two
SHIPPED = {f"thermojax.shipped.{name}": name for name in FOLDERS}

INSIDE = find_namespace_packages(include=["thermojax", "thermojax.*"], exclude=["*__pycache__*"])

setup(packages=[*INSIDE, *SHIPPED], package_dir=SHIPPED)
