"""A naive reading of the API, as a second opinion on what policies mean."""
