"""The exceptions of the testing kit. Each says what is missing or wrong and what to do."""

from __future__ import annotations

from gluewright_core.errors import GluewrightError


class JavaNotFound(GluewrightError):  # noqa: N818 - reads like core's exceptions
    """No Java that Spark can run on was found."""


class JarsUnavailable(GluewrightError):  # noqa: N818
    """The jars of a table format or of S3A could not be fetched."""


class RowsInvalid(GluewrightError):  # noqa: N818
    """Test rows do not fit the schema they are built with."""


class ClusterNotStarted(GluewrightError):  # noqa: N818
    """The master and workers of a cluster on this machine did not come up."""


class FaultProxyError(GluewrightError):
    """A fault proxy is asked for a server that is not on this machine, or for a kind of fault that it does not have."""
