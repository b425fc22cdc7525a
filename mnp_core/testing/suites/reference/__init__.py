"""A naive reading of the API, as a second opinion on the meaning of policies."""
