"""Kubernetes network policy on the secondary interfaces of pods.

Public to plugins: this module, `mnp_core.api`, `mnp_core.model`, `mnp_core.errors` and `mnp_core.testing`.
"""

from mnp_core._markers import hookimpl

__all__ = ["__version__", "hookimpl"]

__version__ = "0.1.0"
