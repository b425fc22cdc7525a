"""The core's own plugin, loaded by the same entry point, hooks and checks as everybody else's.

Here the core registers what sites may replace or add to: ways to find a pod's network namespace
(`mnp_register_sandbox_locators`) and observers. It sits above everything that it registers, and so do its imports: a
hook imports what it offers inside its factory, because `mnp --help` loads this module too.
"""
