"""The way to an API server: requests that give bytes, and errors that say what the caller can do.

Nothing else imports the client library, and nothing here knows what objects mean. Whoever needs the API server takes
an `ApiServer`; `mnp_core.kubeapi.connection.connect` makes one.
"""

from mnp_core.kubeapi.server import JSON, MERGE_PATCH, ApiServer, Params, Stream

__all__ = ["JSON", "MERGE_PATCH", "ApiServer", "Params", "Stream"]
