"""Logs: one JSON object a line, or readable lines on a terminal; without secrets."""

import logging
import sys
from types import TracebackType

import structlog

from server.masks import Masks
from server.settings import Settings


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Masks the finished line, so that it does not matter where in it a secret was: event, value or traceback."""

    masks = Masks()

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return self.masks(super().format(record))


def configure(settings: Settings) -> None:
    """Send structlog's and the libraries' records, and what nobody caught, through one formatter to stderr."""
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    ending: list[structlog.typing.Processor] = (
        # Plain tracebacks: the coloured ones show the values of variables.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    formatter = _MaskingFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending]
    )
    formatter.masks = Masks.of(settings)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn.access", "websockets"):  # would repeat URLs and frames
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The interpreter's own traceback would go past the masks."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("sluice").critical("a defect ended the process", exc_info=(kind, error, trace))
