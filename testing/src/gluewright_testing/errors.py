"""The exceptions of the testing kit. Each says what is missing or wrong and what to do."""

from __future__ import annotations

from gluewright_core.errors import GluewrightError


class JavaNotFoundError(GluewrightError):
    """No Java that Spark can run on was found."""


class JarsUnavailableError(GluewrightError):
    """The jars of a table format or of S3A could not be fetched."""


class InvalidRowsError(GluewrightError):
    """Test rows do not fit the schema they are built with."""


class ClusterStartError(GluewrightError):
    """The master and workers of a cluster on this machine did not come up."""


class FaultProxyError(GluewrightError):
    """A fault proxy is asked for a server that is not on this machine, or for a kind of fault that it does not have."""
