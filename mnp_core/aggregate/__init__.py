"""`mnp aggregate`: reads the nodes' summaries by one watch, and writes the status of policies, one process for all."""
