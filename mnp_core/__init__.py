"""Kubernetes network policy on the secondary interfaces of pods.

Public to plugins: this module, `api`, `discovery`, `errors`, `model`, `netfilter` and `testing`.
"""

from mnp_core._markers import hookimpl

__all__ = ["__version__", "hookimpl"]

__version__ = "0.1.0"
