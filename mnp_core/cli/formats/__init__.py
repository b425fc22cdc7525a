"""The forms in which `mnp matrix` and `mnp diff` print answers: for eyes, for programs, for pages.

Names come from manifests, and each form escapes them in its own way.
"""
