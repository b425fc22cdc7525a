"""Logs on standard error: one line per record, as text (logfmt) or JSON, with the same keys.

All records go through here, those of libraries too (warnings and worse). Names and messages are untrusted; line ends
and terminal sequences in them are escaped, so neither lines nor colours can be forged.
"""

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

from mnp_core.settings import LogFormat, LogLevel
from mnp_core.telemetry.absent import absent, deferred

# structlog takes rich for consoles if it is there: 3 MiB, and nothing here is for a console; asyncio for loggers of
# coroutines, of which there are none: 3 MiB, too.
with absent("rich"), deferred("asyncio"):
    import structlog
    from structlog.typing import Processor

OURS: Final = "mnp_core"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@,+-]+")
_FIRST: Final = ("time", "level", "msg")


def configure_logging(form: LogFormat = LogFormat.TEXT, level: LogLevel = LogLevel.INFO) -> None:
    """Set up logging of the whole process; replaces any previous configuration."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_common(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _named, _writer(form)],
        )
    )
    least = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger(OURS).setLevel(least)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_common(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _common() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,  # such as the user who asks
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _named(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put time, level and message first; name the logger only for records of libraries."""
    event["msg"] = event.pop("event", "")
    logger = str(event.pop("logger", ""))
    rest = {key: value for key, value in event.items() if key not in _FIRST}
    named = {} if logger == OURS or logger.startswith(f"{OURS}.") else {"logger": logger}
    return {**{key: event[key] for key in _FIRST if key in event}, **named, **rest}


def _writer(form: LogFormat) -> Processor:
    return _json if form is LogFormat.JSON else _text


def _json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return json.dumps(event, default=str)


def _text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return " ".join(f"{_key(key)}={_value(value)}" for key, value in event.items())


def _key(key: str) -> str:
    return key if _PLAIN.fullmatch(key) else _quoted(key)


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """Text as JSON, in ASCII: one reversible token on one line."""
    return json.dumps(text)
