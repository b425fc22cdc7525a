"""Access to an API server: requests that return bytes, and errors by remedy.

Nothing else imports the client library, and nothing here knows the meaning of objects. Callers of the API server use
an `ApiServer`; `mnp_core.kubeapi.connection.connect` makes one.
"""

from mnp_core.kubeapi.server import JSON, MERGE_PATCH, ApiServer, Params, Stream

__all__ = ["JSON", "MERGE_PATCH", "ApiServer", "Params", "Stream"]
