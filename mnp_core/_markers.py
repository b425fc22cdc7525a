"""The two pluggy markers, apart from everything else so that a plugin's import costs nothing."""

import pluggy

PROJECT = "mnp"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
