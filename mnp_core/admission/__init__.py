"""`mnp admit`: a validating webhook that judges policies together with the other objects of the cluster."""
